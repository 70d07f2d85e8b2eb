"""Dispatches train steps, measures step times, and traces some steps."""

from __future__ import annotations

import collections
import shutil
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import numpy as np

from cnn_jax import whole_file
from cnn_jax.run.recorder import Recorder
from cnn_jax.run.records import Percentiles, TracedSteps
from cnn_jax.terminal import print_line
from cnn_jax.train import distributed

FOLDER, DESCRIPTION, PROGRAM = "profile", "profile.json", "program.txt"

MAX_DISPATCH_SECONDS = 2.0  # a stop signal waits for one or two dispatches

_FIRST_STEP, _NUM_STEPS = 10, 10  # traced steps; the first steps include one-time costs


class Chunk(NamedTuple):
    """Steps of an epoch that run in one dispatch.

    Attributes:
      first: First step within the epoch.
      last: Step after the last one within the epoch.
      ends_window: Whether to record the metrics since the last record after this chunk.
    """

    first: int
    last: int
    ends_window: bool = False


class Dispatcher:
    """Dispatches the compiled train steps, reads their metrics, times them, and traces some."""

    def __init__(self, train_steps: Callable[..., tuple[Any, Any]], trace: Trace | None = None):
        """Creates a dispatcher.

        Args:
          train_steps: Maps (state, epoch, learning_rates, first, last) to (state, sums).
          trace: Trace of some of the steps.
        """
        self._train_steps, self._trace = train_steps, trace  # the trace is None once written
        self._taken = 0
        # Dispatches with unread metrics, oldest first: (chunk, sums, start time, whether it is timed).
        self._in_flight: collections.deque[tuple[Chunk, Any, float, bool]] = collections.deque()
        self._previous_end = 0.0
        self._seconds: list[float] = []  # seconds per step of each timed dispatch
        self._steps: list[int] = []  # steps of each timed dispatch

    def dispatch(self, state: Any, epoch: int, learning_rates: np.ndarray, chunk: Chunk) -> Any:
        """Dispatches the steps of a chunk.

        Args:
          state: State before the chunk; its buffers are donated.
          epoch: Number of the epoch, from 0.
          learning_rates: Learning rates of the epoch.
          chunk: The steps.

        Returns:
          The state after the chunk.
        """
        if self._trace is not None and self._taken == self._trace.steps.start:
            jax.block_until_ready(state)
            self._trace.start()
            # The trace waited for the dispatches in flight, so their times are not valid.
            self._in_flight = collections.deque((*dispatch[:3], False) for dispatch in self._in_flight)
        called, traced = time.monotonic(), self._trace is not None and self._trace.running
        state, sums = self._train_steps(state, epoch, learning_rates, chunk.first, chunk.last)
        self._taken += chunk.last - chunk.first
        ends_trace = self._trace is not None and self._taken == self._trace.steps.stop
        if traced and (ends_trace or chunk.last == len(learning_rates)):
            jax.block_until_ready(state)
            self.close()
        self._in_flight.append((chunk, sums, called, not traced))
        return state

    def affordable_steps(self) -> int:
        """Returns the largest number of steps within MAX_DISPATCH_SECONDS and up to the trace's next edge."""
        seconds = distributed.max_over_processes(self.seconds_per_step)
        steps = self._trace.steps if self._trace is not None else range(0)
        to_edges = [edge - self._taken for edge in (steps.start, steps.stop) if edge > self._taken]
        return min([*to_edges, max(1, int(MAX_DISPATCH_SECONDS / seconds)) if seconds else 1])

    def read(self, in_flight: int = 0) -> Iterator[tuple[Chunk, Any]]:
        """Waits for dispatches, oldest first, until at most `in_flight` are unfinished.

        Yields:
          (chunk, its sums on the host).
        """
        while len(self._in_flight) > in_flight:
            chunk, sums, called, timed = self._in_flight.popleft()
            sums = jax.device_get(sums)
            now = time.monotonic()
            if timed:
                steps = chunk.last - chunk.first
                # A dispatch starts when it is called, or when the one before it ends.
                self._seconds.append((now - max(called, self._previous_end)) / steps)
                self._steps.append(steps)
            self._previous_end = now
            yield chunk, sums

    @property
    def seconds_per_step(self) -> float:
        """Seconds per step of the last timed dispatch; 0 if none was timed."""
        return self._seconds[-1] if self._seconds else 0.0

    def percentiles(self) -> Percentiles | None:
        """Computes percentiles of the seconds per step, without traced dispatches; None if no dispatch was timed."""
        if not self._seconds:
            return None
        found = np.percentile(self._seconds, (50, 90, 99), weights=self._steps, method="inverted_cdf")
        return Percentiles(**dict(zip(("p50", "p90", "p99"), found.tolist(), strict=True)))

    def close(self) -> None:
        """Stops the trace if it is running."""
        if self._trace is not None and self._trace.running:
            self._trace.stop(self._taken)
            self._trace = None


class Trace:
    """An XProf trace of steps 10 to 20 that this process trains, or of the first ones if there are at most 10.

    It ends with the epoch at the latest, so that it contains only training. The first of several processes traces its
    own devices; the others only split their dispatches at the same steps, because all must dispatch alike.
    """

    def __init__(self, run: Recorder, steps_left: int, program: Callable[[], str | None]):
        """Creates a trace without starting it.

        Args:
          run: Run in whose folder `profile/` is written, replacing an older one.
          steps_left: Number of steps that this process will train.
          program: Returns the text of the compiled program.
        """
        first = _FIRST_STEP if steps_left > _FIRST_STEP else 0
        self.steps = range(first, min(first + _NUM_STEPS, steps_left))
        self.running = False
        self._run, self._folder, self._program = run, run.folder.path / FOLDER, program

    def start(self) -> None:
        """Starts tracing; the devices must be idle."""
        self.running = True
        if not distributed.is_first():
            return
        shutil.rmtree(self._folder, ignore_errors=True)
        options = jax.profiler.ProfileOptions()
        options.python_tracer_level = 0  # events for Python calls would slow down the steps
        jax.profiler.start_trace(self._folder, profiler_options=options)

    def stop(self, taken: int) -> None:
        """Stops tracing and writes the trace, profile.json last.

        Args:
          taken: Steps that this process has taken; the devices must have finished them.
        """
        self.running = False
        if not distributed.is_first():
            return
        jax.profiler.stop_trace()
        whole_file.write(self._folder / PROGRAM, (self._program() or "").encode())
        traced = TracedSteps(first_step=self.steps.start, steps=taken - self.steps.start)
        self._run.folder.write(f"{FOLDER}/{DESCRIPTION}", traced.to_json())
        steps = f"steps {self.steps.start} to {taken} of this run"
        short = f", {_NUM_STEPS} wanted: the epoch or the run ends there" if traced.steps < _NUM_STEPS else ""
        print_line(self._run.console, f"profile: {steps}{short}: {self._folder}")
