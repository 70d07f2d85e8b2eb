"""The calls of the compiled steps: how long each took, and which steps are traced."""

from __future__ import annotations

import collections
import itertools
import time
from collections.abc import Iterator

import jax
import numpy as np

from cnn_jax.train.metrics import Sums
from cnn_jax.train.state import TrainState
from cnn_jax.train.trace import Trace
from cnn_jax.train.training import Advance

_PERCENTILES = (50, 90, 99)


class Dispatches:
    """Calls the compiled steps as the loop does, and keeps count.

    A dispatch that reaches into the steps to be traced is cut at their ends. As the program takes its first and last
    step as values, the pieces do the arithmetic of the whole.
    """

    def __init__(self, advance: Advance, trace: Trace | None = None):
        """Counts from here.

        Args:
          advance: the compiled steps.
          trace: of some of the steps that follow.
        """
        self._advance, self._trace = advance, trace  # None again when it is done
        self._taken = 0
        # Of dispatches on their way, the oldest first: when they were called, their steps, whether they count.
        self._on_their_way: collections.deque[tuple[float, int, bool]] = collections.deque()
        self._arrived = 0.0
        self._seconds: list[float] = []  # of one step, in each dispatch that counts
        self._steps: list[int] = []

    def __call__(
        self, state: TrainState, epoch: int, rates: np.ndarray, first: int, last: int
    ) -> tuple[TrainState, tuple[Sums, Sums]]:
        """Takes steps `first` to `last` (excluded) of an epoch; `training.Advance` tells of all arguments."""
        called, traced = time.monotonic(), False
        for start, stop in self._pieces(first, last):
            if self._trace is not None and self._taken == self._trace.steps.start:
                jax.block_until_ready(state)
                self._trace.start()
            state, sums = self._advance(state, epoch, rates, start, stop)
            self._taken += stop - start
            if self._trace is not None and self._trace.runs:
                traced = True
                if self._taken == self._trace.steps.stop or stop == len(rates):
                    jax.block_until_ready(state)
                    self.close()
        if traced:  # those on their way have been waited for out of turn
            self._on_their_way = collections.deque((begun, steps, False) for begun, steps, _ in self._on_their_way)
        self._on_their_way.append((called, last - first, not traced))
        return state, sums

    def _pieces(self, first: int, last: int) -> Iterator[tuple[int, int]]:
        """Cuts a dispatch where the steps to be traced begin and end; they are counted from this run's first."""
        steps = self._trace.steps if self._trace is not None else range(0)
        cuts = {first - self._taken + edge for edge in (steps.start, steps.stop)}
        edges = [first, *sorted(cut for cut in cuts if first < cut < last), last]
        return itertools.pairwise(edges)

    def arrived(self) -> None:
        """Notes that the figures of the oldest dispatch on its way are there; must be told of each in turn."""
        now = time.monotonic()
        called, steps, counts = self._on_their_way.popleft()
        if counts:
            # It began when it was called, or when the one before it was done.
            self._seconds.append((now - max(called, self._arrived)) / steps)
            self._steps.append(steps)
        self._arrived = now

    @property
    def pace(self) -> float:
        """Seconds of a step, as the last dispatch took them; 0 where none is known."""
        return self._seconds[-1] if self._seconds else 0.0

    def step_seconds(self) -> dict[str, float] | None:
        """Percentiles of a step's time, a dispatch's seconds shared evenly by its steps.

        Returns:
          p50, p90 and p99: so many percent of this process's steps took no longer. None where no dispatch counts, as
          those do not that were traced, or waited for by the trace.
        """
        if not self._seconds:
            return None
        found = np.percentile(self._seconds, _PERCENTILES, weights=self._steps, method="inverted_cdf")
        return {f"p{percent}": float(seconds) for percent, seconds in zip(_PERCENTILES, found, strict=True)}

    def close(self) -> None:
        """Ends a trace that runs."""
        if self._trace is not None and self._trace.runs:
            self._trace.stop(self._taken)
            self._trace = None
