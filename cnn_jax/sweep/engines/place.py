"""A place for one worker process on this machine: its cores, its accelerator, and the process while there is one."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from typing import IO, Any

from cnn_jax.sweep.engines import confinement, worker_process
from cnn_jax.sweep.engines.worker_process import Workers


class Place:
    """Cores and variables of one worker, which trains one group of trials after another."""

    def __init__(self, workers: Workers, cores: Sequence[int], variables: Mapping[str, str]):
        """Starts nothing yet.

        Args:
          workers: Pool that starts the worker.
          cores: Cores that it may use.
          variables: Environment variables that give it its own accelerator.
        """
        self.cores = tuple(cores)
        self._workers, self._variables = workers, dict(variables)
        self._process: subprocess.Popen[str] | None = None
        self._started_with: tuple[tuple[int, ...], dict[str, str]] = ((), {})
        self._started = 0.0

    def begin(self, task: Mapping[str, Any], cores: Sequence[int], variables: Mapping[str, str]) -> None:
        """Hands a task to the worker; to a new one where there is none, or where it was started differently.

        Args:
          task: What the worker is told, as `cnn_jax.sweep.worker` reads it.
          cores: Those of this place that the worker may use.
          variables: Environment variables that the task needs.
        """
        started_with = tuple(cores), self._variables | dict(variables)
        if started_with != self._started_with:
            self.kill()
        if self._process is None:
            self._started_with = started_with
            self._process = self._workers.start(*started_with)
        self._started = time.monotonic()
        worker_process.tell(self._process, task)

    async def answer(self, seconds: float) -> str | None:
        """Waits for the worker's answer.

        Args:
          seconds: How long.

        Returns:
          A line; empty where the process has ended, None where nothing came in time.
        """
        answers = self._answers()
        readable, loop = asyncio.Event(), asyncio.get_running_loop()
        loop.add_reader(answers, readable.set)
        try:
            async with asyncio.timeout(seconds):
                await readable.wait()
        except TimeoutError:
            return None
        finally:
            loop.remove_reader(answers)
        return answers.readline()

    def elapsed(self) -> float:
        """Seconds since the task began."""
        return time.monotonic() - self._started

    def resident(self) -> int:
        """Bytes of memory that the worker holds."""
        return confinement.resident_bytes(self._process.pid) if self._process else 0

    def terminate(self) -> None:
        """Tells the worker to save and to leave."""
        if self._process is not None:
            self._process.send_signal(signal.SIGTERM)

    def give_back(self) -> None:
        """Gives an idle worker back to a pool that uses workers again; the pool's owner ends it."""
        if self._workers.reused and self._process is not None:
            self._workers.give_back(self._started_with, self._process)
            self._process = None

    def kill(self, patience: float = 0) -> int:
        """Ends the worker with all that it has started.

        Args:
          patience: Seconds that it may take to leave by itself.

        Returns:
          Its exit code; 0 where there is none.
        """
        process, self._process = self._process, None
        return 0 if process is None else worker_process.end(process, patience)

    def _answers(self) -> IO[str]:
        assert self._process is not None
        assert self._process.stdout is not None
        return self._process.stdout
