"""Step times, and a trace of some steps."""

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

MAX_DISPATCH_SECONDS = 2.0  # a signal waits for the end of one or two dispatches

_FIRST_STEP, _NUM_STEPS = 10, 10  # of a trace; the first steps also pay for what is done once


class Chunk(NamedTuple):
    """Steps of an epoch that are one dispatch.

    Attributes:
      first: First step within the epoch.
      last: Step within the epoch after the last.
      ends_window: Whether the metrics since the last record are recorded after it.
    """

    first: int
    last: int
    ends_window: bool = False


class Dispatcher:
    """Dispatches the compiled train steps, reads their metrics, times them, and traces some."""

    def __init__(self, train_steps: Callable[..., tuple[Any, Any]], trace: Trace | None = None):
        """Starts counting.

        Args:
          train_steps: Takes (state, epoch, learning_rates, first, last); gives the state and its sums.
          trace: Trace of some of the steps that follow.
        """
        self._train_steps, self._trace = train_steps, trace  # no trace once it is written
        self._taken = 0
        # Dispatches whose metrics have not been read, the oldest first: chunk, sums, start time, whether it is timed.
        self._in_flight: collections.deque[tuple[Chunk, Any, float, bool]] = collections.deque()
        self._previous_end = 0.0
        self._seconds: list[float] = []  # of one step, in each timed dispatch
        self._steps: list[int] = []

    def dispatch(self, state: Any, epoch: int, learning_rates: np.ndarray, chunk: Chunk) -> Any:
        """Dispatches the steps of a chunk.

        Args:
          state: State before them; its buffers are donated.
          epoch: Number of the epoch, from 0.
          learning_rates: Learning rates of the epoch.
          chunk: The steps.

        Returns:
          The state after them.
        """
        if self._trace is not None and self._taken == self._trace.steps.start:
            jax.block_until_ready(state)
            self._trace.start()
            # Dispatches in flight were waited for by the trace, so their times say nothing.
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
        """Gives the most steps of the next dispatch: traced ones are dispatches of their own, no others take long."""
        seconds = distributed.max_over_processes(self.seconds_per_step)
        steps = self._trace.steps if self._trace is not None else range(0)
        to_edge = [edge - self._taken for edge in (steps.start, steps.stop) if edge > self._taken]
        return min([*to_edge, max(1, int(MAX_DISPATCH_SECONDS / seconds)) if seconds else 1])

    def read(self, in_flight: int = 0) -> Iterator[tuple[Chunk, Any]]:
        """Waits for dispatches, the oldest first, until so many are in flight.

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
        """Seconds of a step in the last timed dispatch; 0 where none has been timed."""
        return self._seconds[-1] if self._seconds else 0.0

    def percentiles(self) -> Percentiles | None:
        """Computes percentiles of a step's time in seconds, a dispatch's time shared evenly by its steps.

        Returns:
          The percentiles; None where no dispatch was timed. Traced dispatches are not.
        """
        if not self._seconds:
            return None
        found = np.percentile(self._seconds, (50, 90, 99), weights=self._steps, method="inverted_cdf")
        return Percentiles(**dict(zip(("p50", "p90", "p99"), found.tolist(), strict=True)))

    def close(self) -> None:
        """Ends a trace that is running."""
        if self._trace is not None and self._trace.running:
            self._trace.stop(self._taken)
            self._trace = None


class Trace:
    """An XProf trace of steps 10 to 20 of what this process trains; of the first ones where there are no more than 10.

    It ends with the epoch at the latest, so that it holds nothing but training. Of several processes the first traces
    its own devices; the others only cut their dispatches at the same steps, because all must dispatch alike.
    """

    def __init__(self, run: Recorder, steps_left: int, program: Callable[[], str | None]):
        """Stores its arguments; tracing starts later.

        Args:
          run: Run in whose folder `profile/` is written, in place of an older one.
          steps_left: Steps that this process is going to train.
          program: Gives the compiled program's text.
        """
        first = _FIRST_STEP if steps_left > _FIRST_STEP else 0
        self.steps = range(first, min(first + _NUM_STEPS, steps_left))
        self.running = False
        self._run, self._folder, self._program = run, run.folder.path / FOLDER, program

    def start(self) -> None:
        """Starts tracing; the devices should be idle."""
        self.running = True
        if not distributed.is_first():
            return
        shutil.rmtree(self._folder, ignore_errors=True)
        options = jax.profiler.ProfileOptions()
        options.python_tracer_level = 0  # every Python call would be an event, and slow down what is measured
        jax.profiler.start_trace(self._folder, profiler_options=options)

    def stop(self, taken: int) -> None:
        """Stops tracing and writes the trace, profile.json last.

        Args:
          taken: Steps that this process has taken; the devices should be done with them.
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
