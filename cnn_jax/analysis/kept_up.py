"""The table and the report of a sweep that is under way."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

_PAUSE = 50  # times as long as writing took, until it is due again


class KeptUp:
    """Writes table and report again as a sweep goes on, each as often as takes a fiftieth of the time.

    What writing takes, which is seconds to load, is loaded at the first call: the first trial is then under way.
    """

    def __init__(self, folder: Path, report: bool = True):
        """Begins; nothing is written yet.

        Args:
          folder: of the sweep.
          report: whether there is to be one.
        """
        self._folder, self._report = folder, report
        self._due: dict[Callable[[Path], Path], float] = {}

    def update(self) -> None:
        """Writes what is due: at the first call both."""
        from cnn_jax.sweep.table import write_table

        self._write(write_table)
        if self._report:
            from cnn_jax.analysis.sweep_report import write_sweep_report

            self._write(write_sweep_report)

    def _write(self, write: Callable[[Path], Path]) -> None:
        begun = time.monotonic()
        if begun >= self._due.get(write, begun):
            write(self._folder)
            ended = time.monotonic()
            self._due[write] = ended + _PAUSE * (ended - begun)
