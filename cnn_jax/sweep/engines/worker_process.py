"""Worker processes of this machine, which may be started before there is work for them."""

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

COMMAND = (sys.executable, "-m", "cnn_jax.sweep.worker")
_ATTEMPTS = 3  # attempts to get an answer

_Setup = tuple[tuple[int, ...], dict[str, str]]


class WorkerEnded(Exception):
    """A worker ended without an answer. The message has its exit code and its last lines."""


class Workers:
    """Starts workers. Those that are started ahead load what they need before they get a trial."""

    def __init__(self, command: Sequence[str] = COMMAND, reused: bool = False) -> None:
        """Stores its arguments; `start` and `start_ahead` start workers.

        Args:
          command: Command of a worker, which answers as `cnn_jax.sweep.worker` does.
          reused: Whether engines return idle workers to this pool.
        """
        self.reused = reused
        self._command = tuple(command)
        self._ahead: list[tuple[_Setup, subprocess.Popen[str], IO[bytes] | None]] = []

    def start_ahead(self, setups: Sequence[tuple[Sequence[int], Mapping[str, str]]]) -> None:
        """Starts a worker for each setup that is likely to be needed; ends those started earlier.

        Args:
          setups: Cores and environment variables of each worker. The first can be asked about the trials.
        """
        self.close()
        for number, (cores, variables) in enumerate(setups):
            errors = tempfile.TemporaryFile()  # noqa: SIM115  open as long as the worker
            process = self._started(cores, variables, errors)
            self._ahead.append(((tuple(cores), dict(variables)), process, errors))
            if number:
                tell(process, {"load": True})

    def ask(self, question: Mapping[str, Any]) -> Any:
        """Asks the first of the workers that were started ahead; new ones start where it is killed from outside.

        Args:
          question: A JSON object, as `cnn_jax.sweep.worker` reads it.

        Returns:
          The answer, from JSON.

        Raises:
          WorkerEnded: where the worker ends by itself, or is killed every time.
        """
        for attempt in range(_ATTEMPTS):
            _, process, errors = self._ahead[0]
            assert process.stdout is not None
            tell(process, question)
            if line := process.stdout.readline():
                return json.loads(line)
            code = process.wait()
            last_lines = ""
            if errors is not None:
                errors.seek(0)
                last_lines = errors.read()[-2000:].decode(errors="replace")
            if code != -signal.SIGKILL or attempt + 1 == _ATTEMPTS:
                break
            self.start_ahead([setup for setup, _, _ in self._ahead])
        raise WorkerEnded(f"exit code {code}\n{last_lines}")

    def start(self, cores: Sequence[int], variables: Mapping[str, str]) -> subprocess.Popen[str]:
        """Returns a worker for a setup: one that was started ahead if there is one, else a new one.

        Before a new worker starts, the unused ones are ended, since they may hold devices.

        Args:
          cores: Cores that it may use.
          variables: Environment variables, beside this process's.

        Returns:
          The process, which reads tasks from its standard input.
        """
        for waiting in self._ahead:
            setup, process, errors = waiting
            if setup == (tuple(cores), dict(variables)):
                self._ahead.remove(waiting)
                if errors is not None:
                    errors.close()
                return process
        self.close()
        return self._started(cores, variables)

    @property
    def waiting(self) -> bool:
        """Whether there is a worker that can be asked."""
        return bool(self._ahead)

    def give_back(self, setup: _Setup, process: subprocess.Popen[str]) -> None:
        """Takes back an idle worker; the next `start` with its setup returns it.

        Args:
          setup: Cores and variables that it was started with.
          process: The worker.
        """
        self._ahead.append((setup, process, None))

    def close(self) -> None:
        """Ends all unused workers."""
        while self._ahead:
            _, process, errors = self._ahead.pop()
            end(process)
            if errors is not None:
                errors.close()

    def _started(
        self, cores: Sequence[int], variables: Mapping[str, str], errors: IO[bytes] | None = None
    ) -> subprocess.Popen[str]:
        return subprocess.Popen(
            self._command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            env=confinement.environment(variables),
            start_new_session=True,  # Ctrl-C reaches the sweep alone, which stops its workers
            preexec_fn=confinement.confined(cores),
        )


def tell(process: subprocess.Popen[str], words: Mapping[str, Any]) -> None:
    """Writes a line to a worker."""
    assert process.stdin is not None
    with contextlib.suppress(BrokenPipeError):  # it has ended; the reader sees its closed output
        process.stdin.write(json.dumps(words) + "\n")
        process.stdin.flush()


def end(process: subprocess.Popen[str], patience: float = 0) -> int:
    """Ends a worker and its child processes.

    Args:
      process: the worker.
      patience: Seconds to wait for the worker to exit by itself.

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
