"""Worker processes of this machine, of which one may be started before it is known what it will train."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence

from cnn_jax.sweep.engines import confinement

_Place = tuple[tuple[int, ...], dict[str, str]]


class Workers:
    """Starts workers. Each needs seconds to load what it trains with; the first can do so before its trial is known."""

    def __init__(self) -> None:
        self._ahead: tuple[_Place, subprocess.Popen[str]] | None = None

    def start_ahead(self, cores: Sequence[int], variables: Mapping[str, str]) -> None:
        """Starts a worker for a place that is likely to be asked for.

        Args:
          cores: that it may use.
          variables: of its environment.
        """
        self.close()
        self._ahead = (tuple(cores), dict(variables)), _started(cores, variables)

    def start(self, cores: Sequence[int], variables: Mapping[str, str]) -> subprocess.Popen[str]:
        """A worker for these cores with these variables: the one that was started ahead if it is for such a place."""
        if self._ahead is not None and self._ahead[0] == (tuple(cores), dict(variables)):
            (_, process), self._ahead = self._ahead, None
            return process
        return _started(cores, variables)

    def close(self) -> None:
        """Ends the worker that was started ahead, where nobody has asked for it."""
        if self._ahead is not None:
            (_, process), self._ahead = self._ahead, None
            end(process)


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


def _started(cores: Sequence[int], variables: Mapping[str, str]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "cnn_jax.sweep.worker"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=confinement.environment(variables),
        start_new_session=True,  # Ctrl-C is for the sweep, which tells its workers
        preexec_fn=confinement.confined(cores),
    )
