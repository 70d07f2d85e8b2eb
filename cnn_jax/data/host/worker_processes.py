"""Worker processes that make batches, and hand them over in memory that has no name.

Named shared memory outlives the processes that use it unless one of them removes the name, and no order of closing
does that at every moment: a worker may have made a batch that nobody has received, and JAX may give back an array's
memory later than the program ends. So each worker shares a file without a name with the process that started it. The
system frees such memory with the last process that has it open, however the processes end. A batch is copied out of
it before anybody else sees it, and a worker can be killed at any moment.
"""

from __future__ import annotations

import collections
import contextlib
import mmap
import multiprocessing
import os
import signal
import tempfile
import traceback
from collections.abc import Callable
from multiprocessing import connection, process, reduction
from typing import Any

import grain
import numpy as np

from cnn_jax.data.errors import DataError
from cnn_jax.data.host.host_batch import BatchLayout, HostBatch

# Batches of a worker that wait for their step; it makes the next one meanwhile.
AHEAD = 2

# Makes the batches of the steps `first`, `first + stride`, `first + 2 * stride`, ...
MakeBatches = Callable[[int, int], "grain.IterDataset[HostBatch]"]


class WorkerBatches(grain.IterDataset[HostBatch]):
    """The batches of all steps from one on, made by worker processes in turn."""

    def __init__(self, make: MakeBatches, layout: BatchLayout, step: int, workers: int):
        """Starts nothing: `iter` makes an iterator, which starts the workers at its first batch.

        Args:
          make: Gives the batches of the steps from its first argument on, in strides of its second one. It is pickled.
          layout: Shapes of every batch.
          step: First step.
          workers: Number of processes, at least 1.
        """
        super().__init__()
        self._arguments = make, layout, step, workers

    def __iter__(self) -> WorkerIterator:
        return WorkerIterator(*self._arguments)


class WorkerIterator(grain.DatasetIterator[HostBatch]):
    """Takes the batches from the workers in the order of their steps; `close` ends the workers."""

    def __init__(self, make: MakeBatches, layout: BatchLayout, step: int, workers: int):
        """The arguments are those of `WorkerBatches`."""
        super().__init__()
        self._make, self._layout, self._step, self._count = make, layout, step, workers
        self._workers: list[_Worker] = []
        self._taken = 0

    def __next__(self) -> HostBatch:
        self._assert_not_closed()
        while len(self._workers) < self._count:
            first = self._step + len(self._workers)
            self._workers.append(_Worker(self._make, self._layout, first, self._count))
        batch = self._workers[self._taken % self._count].take()
        self._taken += 1
        return batch

    def close(self) -> None:
        """Ends the workers at once, whatever they do, and waits until they are gone."""
        self._closed = True
        workers, self._workers = self._workers, []
        for worker in workers:
            worker.kill()
        for worker in workers:
            worker.join()

    def get_state(self) -> dict[str, Any]:
        """The next step."""
        return {"step": self._step + self._taken}

    def set_state(self, state: dict[str, Any]) -> None:
        raise NotImplementedError("a stream of batches begins at a step; open another one")


class _Worker:
    """One process, and the memory in which it hands batches over."""

    def __init__(self, make: MakeBatches, layout: BatchLayout, first: int, stride: int):
        spawn = multiprocessing.get_context("spawn")
        descriptor = _nameless_file(AHEAD * layout.size)
        self._connection, theirs = spawn.Pipe()
        try:
            memory = mmap.mmap(descriptor, AHEAD * layout.size)
            self._places = [layout.view(memory, number) for number in range(AHEAD)]
            arguments = make, layout, first, stride, _SharedFile(descriptor), theirs
            # A daemon, so that it ends with this process even where nobody closes the iterator.
            self._process: process.BaseProcess = spawn.Process(target=_work, args=arguments, daemon=True)
            self._process.start()
        finally:
            theirs.close()
            os.close(descriptor)

    def take(self) -> HostBatch:
        """Waits for the worker's next batch and copies it.

        Raises:
          Exception: The worker's own, if making the batch failed.
          DataError: If the worker has ended.
        """
        try:
            place = self._connection.recv()
        except (EOFError, ConnectionError) as error:
            self._process.join()
            raise DataError(
                f"a worker process that reads records ended with exit code {self._process.exitcode}, expected it to "
                "run as long as the training; if memory was short, lower config.data.workers or the batch size"
            ) from error
        if isinstance(place, Exception):
            raise place
        batch = HostBatch(*map(np.array, self._places[place]))
        with contextlib.suppress(ConnectionError):  # if it has ended, taking its next batch tells so
            self._connection.send(place)
        return batch

    def kill(self) -> None:
        self._process.kill()

    def join(self) -> None:
        self._process.join()
        self._process.close()
        self._connection.close()


class _SharedFile:
    """A file descriptor that a process is given as it is started."""

    def __init__(self, descriptor: int):
        self._descriptor = descriptor

    def __reduce__(self) -> tuple[Any, ...]:
        return _received, (reduction.DupFd(self._descriptor),)


def _received(duplicate: Any) -> int:
    return duplicate.detach()


def _nameless_file(size: int) -> int:
    """Opens a file of so many bytes that has no name, in memory where the system can; gives its descriptor."""
    if hasattr(os, "memfd_create"):
        descriptor = os.memfd_create("cnn_jax batches")
    else:
        with tempfile.TemporaryFile() as file:
            descriptor = os.dup(file.fileno())
    try:
        # The memory is taken now: a process that writes to what the system cannot give later is killed.
        (os.posix_fallocate(descriptor, 0, size) if hasattr(os, "posix_fallocate") else os.ftruncate(descriptor, size))
    except OSError as error:
        os.close(descriptor)
        raise OSError(error.errno, f"no memory for {size:,} bytes of batches: {error.strerror}") from error
    return descriptor


def _work(
    make: MakeBatches, layout: BatchLayout, first: int, stride: int, descriptor: int, caller: connection.Connection
) -> None:
    """Makes batches until the caller is gone: the main function of a worker process."""
    # Ctrl-C reaches all processes of a terminal; the caller then still takes the batches of its last steps.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    memory = mmap.mmap(descriptor, AHEAD * layout.size)
    os.close(descriptor)
    places = [layout.view(memory, number) for number in range(AHEAD)]
    free = collections.deque(range(AHEAD))
    with contextlib.closing(iter(make(first, stride))) as batches:
        while True:
            try:
                batch = next(batches)
            except Exception as error:
                _tell(caller, error)
                return
            try:
                place = free.popleft() if free else caller.recv()
                for target, array in zip(places[place], batch, strict=True):
                    target[...] = array
                caller.send(place)
            except (EOFError, ConnectionError):
                return


def _tell(caller: connection.Connection, error: Exception) -> None:
    """Sends an exception, or its text where it cannot be sent, with the place where it was raised as a note."""
    text = "".join(traceback.format_exception(error))
    error.add_note(f"in a worker process:\n{text}")
    with contextlib.suppress(ConnectionError):
        try:
            caller.send(error)
        except ConnectionError:
            raise
        except Exception:
            caller.send(RuntimeError(text))
