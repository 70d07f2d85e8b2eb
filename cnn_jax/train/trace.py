"""An XProf trace of some of a run's steps, in the run's folder, with what reading it takes."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import jax
from rich.console import Console

from cnn_jax import whole_file

FOLDER, DESCRIPTION, PROGRAM = "profile", "profile.json", "program.txt"

# The first steps also pay for what is done once.
_FIRST, _COUNT = 10, 10


class Trace:
    """A trace of steps 10 to 20 of what this process trains; of the first ones where there are no more than 10.

    It ends with the epoch at the latest, so that it holds training and nothing else. Of several processes the first one
    traces its own devices; the others only cut their dispatches at the same steps, for all must call alike.
    """

    def __init__(self, run_folder: Path, left: int, program: Callable[[], str], console: Console, writes: bool):
        """Prepares; nothing is traced yet.

        Args:
          run_folder: where `profile/` is written, in place of an older one.
          left: steps that this process is going to train.
          program: gives the compiled program's text.
          console: where to tell.
          writes: whether this process is the one that traces.
        """
        first = _FIRST if left > _FIRST else 0
        self.steps = range(first, min(first + _COUNT, left))
        self.runs = False
        self._folder, self._program, self._console, self._writes = run_folder / FOLDER, program, console, writes

    def start(self) -> None:
        """Begins to trace; the devices should be idle."""
        self.runs = True
        if not self._writes:
            return
        shutil.rmtree(self._folder, ignore_errors=True)
        options = jax.profiler.ProfileOptions()
        options.python_tracer_level = 0  # every Python call would be an event, and slow down what is measured
        jax.profiler.start_trace(self._folder, profiler_options=options)

    def stop(self, taken: int) -> None:
        """Ends the trace and writes it, profile.json last.

        Args:
          taken: steps of this process so far; the devices should be done with them.
        """
        self.runs = False
        if not self._writes:
            return
        jax.profiler.stop_trace()
        whole_file.write(self._folder / PROGRAM, self._program().encode())
        described = {"first_step": self.steps.start, "steps": taken - self.steps.start}
        whole_file.write(self._folder / DESCRIPTION, (json.dumps(described, indent=2) + "\n").encode())
        steps = f"steps {self.steps.start} to {taken} of this run"
        short = f", {_COUNT} wanted: the epoch or the run ends there" if described["steps"] < _COUNT else ""
        self._console.print(f"profile: {steps}{short}: {self._folder}", highlight=False, soft_wrap=True)
