"""A slot for one worker process of this machine: its cores, its accelerator, and the process while there is one."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from typing import IO, Any

from cnn_jax.sweep.engines import confinement, worker_process
from cnn_jax.sweep.engines.worker_process import Workers


class WorkerSlot:
    """Cores and variables of one worker, which trains one group of trials after another."""

    def __init__(self, workers: Workers, cores: Sequence[int], variables: Mapping[str, str]):
        """Stores its arguments; `begin` starts the worker.

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
        """Sends a task to the worker. Starts a new one if there is none, or if it has other cores or variables.

        Args:
          task: Message to the worker, as `cnn_jax.sweep.worker` reads it.
          cores: Cores of this slot that the worker may use.
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
          seconds: Longest time to wait.

        Returns:
          A line; empty if the process has ended, None if nothing came in time.
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
        """Returns an idle worker to a pool that reuses workers."""
        if self._workers.reused and self._process is not None:
            self._workers.give_back(self._started_with, self._process)
            self._process = None

    def kill(self, patience: float = 0) -> int:
        """Ends the worker and its child processes.

        Args:
          patience: Seconds to wait for the worker to exit by itself.

        Returns:
          Its exit code; 0 where there is none.
        """
        process, self._process = self._process, None
        return 0 if process is None else worker_process.end(process, patience)

    def _answers(self) -> IO[str]:
        assert self._process is not None
        assert self._process.stdout is not None
        return self._process.stdout
