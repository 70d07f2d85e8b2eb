"""Commands as forks of one process that has imported what `launch.py train` imports.

An import takes as long as a tiny run. The server, one for each process of tests, is multiprocessing's; it has imported
JAX and has not used it, so that a fork may have any devices and flags of XLA. A test of a start runs Python itself.
"""

import atexit
import functools
import multiprocessing
import os
import runpy
import signal
import sys
import tempfile
from collections.abc import Callable, Mapping
from multiprocessing import forkserver
from multiprocessing.context import ForkServerContext
from pathlib import Path
from typing import Any

import moments
import pytest

ROOT = Path(__file__).parents[2]
_PRELOADED = "support.preloaded"


@functools.cache
def _server() -> ForkServerContext:
    """Starts the server."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([_PRELOADED, __name__])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", f"{ROOT / 'tests'}{os.pathsep}{ROOT}")  # multiprocessing does not pass sys.path on
        forkserver.ensure_running()
    return context


class Forked:
    """A process that runs a function; the same methods and attributes as `subprocess.Popen` of a command.

    Attributes:
      pid: Its number.
    """

    def __init__(self, function: Callable[..., Any], *arguments: Any, environment: Mapping[str, str] = os.environ):
        """Starts the process.

        Args:
          function: Function of a module.
          arguments: Its arguments, which can be pickled.
          environment: Environment variables of the process. Those of JAX itself are read before it starts.
        """
        self._output = tempfile.NamedTemporaryFile()  # noqa: SIM115  kept until the output is read
        self._process = _server().Process(target=_run, args=(self._output.name, dict(environment), function, arguments))
        self._process.start()
        self.pid = self._process.pid

    @property
    def returncode(self) -> int | None:
        """Exit code, minus a signal's number where one has ended it; None while it runs."""
        return self._process.exitcode

    def poll(self) -> int | None:
        """Gives the exit code; None while it runs."""
        return self.returncode

    def wait(self, timeout: float | None = None) -> int | None:
        """Waits for the end; gives the exit code."""
        self._process.join(timeout)
        assert self.returncode is not None, "it still runs"
        return self.returncode

    def communicate(self, timeout: float | None = None) -> tuple[str, None]:
        """Waits for the end; gives what was printed to both streams."""
        self.wait(timeout)
        self._output.seek(0)
        return self._output.read().decode(), None

    def send_signal(self, number: int) -> None:
        """Sends a signal."""
        os.kill(self.pid, number)

    def kill(self) -> None:
        """Sends SIGKILL."""
        self.send_signal(signal.SIGKILL)


def launch(*words: object, environment: Mapping[str, str] = os.environ) -> Forked:
    """Starts `launch.py` with these words, in this folder."""
    return Forked(_launch, str(Path.cwd()), list(map(str, words)), environment=environment)


def _launch(folder: str, words: list[str]) -> None:
    os.chdir(folder)
    sys.argv = [str(ROOT / "launch.py"), *words]
    sys.orig_argv = [sys.executable, *sys.argv]
    moments.hear()
    runpy.run_path(sys.argv[0], run_name="__main__")


def _run(output: str, environment: dict[str, str], function: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    assert _PRELOADED in sys.modules, "the server could not import it"
    os.environ.clear()
    os.environ.update(environment)
    descriptor = os.open(output, os.O_WRONLY | os.O_APPEND)
    for stream in (1, 2):
        os.dup2(descriptor, stream)
    try:
        function(*arguments)
    finally:
        atexit._run_exitfuncs()  # which multiprocessing leaves out
