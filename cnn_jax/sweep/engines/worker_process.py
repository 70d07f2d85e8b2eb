"""Worker processes of this machine, of which one may be started before it is known that there is work for it."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from typing import IO, Any

from cnn_jax.sweep.engines import confinement

_ATTEMPTS = 3  # to get an answer

_Place = tuple[tuple[int, ...], dict[str, str]]


class WorkerEnded(Exception):
    """A worker ended in place of an answer; the message says how, with its last lines."""


class Workers:
    """Starts workers. The first can be asked about the trials before it gets one, and then has loaded what it needs."""

    def __init__(self) -> None:
        self._ahead: tuple[_Place, subprocess.Popen[str], IO[bytes]] | None = None

    def start_ahead(self, cores: Sequence[int], variables: Mapping[str, str]) -> None:
        """Starts a worker for a place that is likely to be asked for.

        Args:
          cores: that it may use.
          variables: of its environment.
        """
        self.close()
        errors = tempfile.TemporaryFile()  # noqa: SIM115  open as long as the worker
        self._ahead = (tuple(cores), dict(variables)), _started(cores, variables, errors), errors

    def ask(self, question: Mapping[str, Any]) -> Any:
        """Asks the worker that was started ahead; another one where it is killed from outside.

        Args:
          question: a JSON object.

        Returns:
          The answer.

        Raises:
          WorkerEnded: where there is none.
        """
        for attempt in range(_ATTEMPTS):
            assert self._ahead is not None
            place, process, errors = self._ahead
            assert process.stdin is not None
            assert process.stdout is not None
            with contextlib.suppress(BrokenPipeError):  # it has ended, which its closed output tells
                process.stdin.write(json.dumps(question) + "\n")
                process.stdin.flush()
            if line := process.stdout.readline():
                return json.loads(line)
            code = process.wait()
            errors.seek(0)
            last_lines = errors.read()[-2000:].decode(errors="replace")
            if code != -signal.SIGKILL or attempt + 1 == _ATTEMPTS:
                break
            self.start_ahead(*place)
        raise WorkerEnded(f"exit code {code}\n{last_lines}")

    def start(self, cores: Sequence[int], variables: Mapping[str, str]) -> subprocess.Popen[str]:
        """A worker for these cores with these variables: the one that was started ahead if it is for such a place.

        If it is not, it ends: it may hold devices.
        """
        if self._ahead is not None and self._ahead[0] == (tuple(cores), dict(variables)):
            (_, process, errors), self._ahead = self._ahead, None
            errors.close()
            return process
        self.close()
        return _started(cores, variables)

    def close(self) -> None:
        """Ends the worker that was started ahead, where nobody has taken it."""
        if self._ahead is not None:
            (_, process, errors), self._ahead = self._ahead, None
            end(process)
            errors.close()


def end(process: subprocess.Popen[str], patience: float = 0) -> int:
    """Ends a worker with all that it has started.

    Args:
      process: the worker.
      patience: seconds that it may take to leave by itself, now that no more trials come.

    Returns:
      Its exit code.
    """
    assert process.stdin is not None
    assert process.stdout is not None
    with contextlib.suppress(BrokenPipeError):
        process.stdin.close()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(patience)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    code = process.wait()
    process.stdout.close()
    return code


def _started(
    cores: Sequence[int], variables: Mapping[str, str], errors: IO[bytes] | None = None
) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "cnn_jax.sweep.worker"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=errors,
        text=True,
        env=confinement.environment(variables),
        start_new_session=True,  # Ctrl-C is for the sweep, which tells its workers
        preexec_fn=confinement.confined(cores),
    )
