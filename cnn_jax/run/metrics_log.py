"""metrics.jsonl and TensorBoard events of one run."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from cnn_jax import whole_file

TRAIN_WINDOW, TRAIN, VALIDATION, TEST = "train_step", "train", "validation", "test"


class Record(NamedTuple):
    """One line of metrics.jsonl.

    Attributes:
      step: training steps taken.
      epoch: passes over the training images, a fraction within one.
      split: "train_step" (the steps since the last such record), "train" (a whole epoch, measured while
        training), "validation" or "test".
      values: by name; loss in nats, seconds of wall time.
    """

    step: int
    epoch: float
    split: str
    values: Mapping[str, float]


class MetricsLog:
    """Appends records; a resumed run first drops those that its checkpoint does not know."""

    def __init__(self, path: Path, step: int, tensorboard: bool, writes: bool = True):
        """Opens the log.

        Args:
          path: metrics.jsonl.
          step: of the state that training goes on from; later records are dropped.
          tensorboard: whether to write events into `tensorboard/` beside it.
          writes: whether this process is the one that writes; the others only remember.
        """
        self.records = [record for record in read_records(path) if record.step <= step]
        self._file: Any = None
        self._events: Any = None
        if not writes:
            return
        whole_file.write(path, "".join(_line(record) for record in self.records).encode())
        self._file = path.open("a", encoding="utf-8")
        if tensorboard:
            from tensorboardX import SummaryWriter  # costs a third of a second, which tests and sweeps may spare

            self._events = SummaryWriter(str(path.with_name("tensorboard")), purge_step=step + 1 if step else None)

    def write(self, record: Record) -> None:
        """Appends one record."""
        self.records.append(record)
        if self._file is not None:
            self._file.write(_line(record))
            self._file.flush()
        if self._events is not None:
            for name, value in record.values.items():
                self._events.add_scalar(f"{record.split}/{name}", value, record.step)

    def sync(self) -> None:
        """Makes sure that all records are on the disk."""
        if self._file is not None:
            os.fsync(self._file.fileno())

    def close(self) -> None:
        """Ends the files."""
        if self._file is not None:
            self._file.close()
        if self._events is not None:
            self._events.close()


def read_records(path: Path) -> Iterator[Record]:
    """Reads metrics.jsonl up to the first line that a killed run left unfinished."""
    if not path.exists():
        return
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            yield Record(**json.loads(line))
        except (ValueError, TypeError):
            return


def _line(record: Record) -> str:
    return json.dumps(record._asdict()) + "\n"
