"""Display of a running sweep: a live table on a terminal, plain lines elsewhere."""

from __future__ import annotations

import itertools
import time
from collections.abc import Mapping, Sequence

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from cnn_jax.run.errors import RunFolderError
from cnn_jax.run.metrics import PRIMARY
from cnn_jax.sweep.folder import Entry, SweepFolder
from cnn_jax.sweep.status import DONE, FAILED, INFEASIBLE, PAUSED, RUNNING, STOPPED, WAITING, Status, StatusName
from cnn_jax.terminal import cell, print_line

_ROWS = 25  # of the live table
_COLOURS: dict[StatusName, str] = {
    DONE: "green",
    FAILED: "red",
    RUNNING: "cyan",
    STOPPED: "yellow",
    PAUSED: "blue",
    INFEASIBLE: "magenta",
    WAITING: "dim",
}
_ORDER: tuple[StatusName, ...] = (RUNNING, FAILED, STOPPED, PAUSED, DONE, WAITING, INFEASIBLE)  # of the live table


class SweepView:
    """Shows how the trials stand."""

    def __init__(self, console: Console, folder: SweepFolder, entries: Sequence[Entry], statuses: Mapping[str, Status]):
        """Prepares the display.

        Args:
          console: Console; the display is live where it is a terminal.
          folder: Folder of the sweep.
          entries: The trials of this command.
          statuses: Present statuses of those trials, by id.
        """
        self._console, self._folder = console, folder
        self._statuses = dict(statuses)
        self._entries: dict[StatusName, dict[str, Entry]] = {status: {} for status in _ORDER}  # none is looked for
        for entry in entries:
            self._entries[self._statuses[entry.id].status][entry.id] = entry
        self._values = {entry.id: _measured(folder, entry) for entry in entries}
        measured = [value for value in self._values.values() if value is not None]
        self._best = max(measured, key=PRIMARY.gain, default=None)
        self._began = time.monotonic()
        self._ended = 0
        self._live = Live(console=console, auto_refresh=False, transient=True) if console.is_terminal else None

    def __enter__(self) -> SweepView:
        if self._live:
            self._live.start()
            self._refresh()
        return self

    def __exit__(self, *exception: object) -> None:
        if self._live:
            self._live.stop()

    def changed(self, entry: Entry, status: Status) -> None:
        """Shows a trial's new status."""
        del self._entries[self._statuses[entry.id].status][entry.id]
        self._entries[status.status][entry.id] = entry
        self._statuses[entry.id] = status
        if status.status in (DONE, FAILED, PAUSED):
            value = self._values[entry.id] = _measured(self._folder, entry)
            if value is not None:
                self._best = value if self._best is None else max(self._best, value, key=PRIMARY.gain)
            self._ended += 1
        if self._live:
            self._refresh()
        elif status.status != RUNNING:
            print_line(self._console, f"{self._line(entry, status)}; {self.counts()}")

    def counts(self) -> str:
        """Line with the number of trials of each status, the best so far, and the time left."""
        parts = [f"{count} {status}" for status in _COLOURS if (count := len(self._entries[status]))]
        if self._best:
            parts.append(f"best {self._best:.4f}")
        left = sum(len(self._entries[status]) for status in (WAITING, RUNNING, STOPPED))
        if self._ended and left:
            parts.append(f"about {_time((time.monotonic() - self._began) / self._ended * left)} left")
        return ", ".join(parts)

    def _refresh(self) -> None:
        assert self._live is not None
        table = Table(title="trials", title_justify="left", expand=True)
        for heading in ("trial", "status", PRIMARY.title, "time", "attempts"):
            table.add_column(heading, justify="left" if heading in ("trial", "status") else "right")
        ranked = itertools.chain.from_iterable(self._entries[status].values() for status in _ORDER)
        for entry in itertools.islice(ranked, _ROWS):
            status, value = self._statuses[entry.id], self._values[entry.id]
            table.add_row(
                cell(entry.trial),
                Text(f"{status.status} {status.fault or ''}".rstrip(), style=_COLOURS[status.status]),
                f"{value:.4f}" if value is not None else "",
                _time(status.seconds) if status.seconds else "",
                str(status.attempts or ""),
            )
        more = len(self._statuses) - _ROWS
        below = [Text(f"and {more} more trials", style="dim")] if more > 0 else []
        self._live.update(Group(table, *below, Text(self.counts())), refresh=True)

    def _line(self, entry: Entry, status: Status) -> str:
        value = self._values[entry.id]
        figures = ""
        if status.status == DONE and value is not None:
            figures = f" {PRIMARY.title} {value:.4f} in {_time(status.seconds)}"
        fault = f" ({status.fault}: {status.message.splitlines()[0] if status.message else ''})" if status.fault else ""
        return f"{entry.trial}: {status.status}{fault}{figures}"


def _measured(folder: SweepFolder, entry: Entry) -> float | None:
    """The primary metric of a finished trial; None of others, and of those whose result is damaged."""
    try:
        result = folder.trial(entry.id).result()
    except RunFolderError:
        return None
    return result.test[PRIMARY.name] if result else None


def _time(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s" if minutes else f"{rest} s"
