"""Progress of a training: a live bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from cnn_jax.terminal import print_line


class TrainingProgress:
    """Shows the steps of a training and a line for every epoch."""

    def __init__(self, console: Console, total_steps: int, first_step: int):
        """Prepares the display.

        Args:
          console: Console to print to; the bar is live if it is a terminal.
          total_steps: Number of steps of the whole training.
          first_step: Number of steps that were taken before.
        """
        self._console = console
        self._live = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[figures]}", markup=False),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=console,
            disable=not console.is_terminal,
        )
        self._task = self._live.add_task("training", total=total_steps, completed=first_step, figures="")
        self._last_line = time.monotonic()

    def __enter__(self) -> TrainingProgress:
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()

    def steps(self, step: int, loss: float, accuracy: float) -> None:
        """Shows the step and the epoch's running means."""
        figures = f"loss {loss:.4f} accuracy {accuracy:.4f}"
        self._live.update(self._task, completed=step, figures=figures)
        if not self._console.is_terminal and time.monotonic() - self._last_line > 30:
            self.line(f"step {step}: {figures}")

    def line(self, text: str) -> None:
        """Prints a line above the bar."""
        self._last_line = time.monotonic()
        print_line(self._live.console, text)
