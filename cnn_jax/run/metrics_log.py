"""metrics.jsonl and TensorBoard events of one run."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cnn_jax import whole_file
from cnn_jax.run import records
from cnn_jax.run.errors import RunFolderError
from cnn_jax.run.records import MetricRecord, RecordError

TRAIN_WINDOW, TRAIN, VALIDATION, TEST = "train_step", "train", "validation", "test"


class MetricsLog:
    """Appends records to metrics.jsonl; a resumed run first drops the records after its checkpoint."""

    def __init__(self, path: Path, step: int, tensorboard: bool, writes: bool = True):
        """Opens the log.

        Args:
          path: Path of metrics.jsonl.
          step: Step of the state that training continues from; later records are dropped.
          tensorboard: Whether to write TensorBoard events into `tensorboard/` beside the file.
          writes: Whether this process writes the files; other processes only keep the records in memory.

        Raises:
          RunFolderError: If the file cannot be read, or is damaged.
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

    def write(self, record: MetricRecord) -> None:
        """Appends one record."""
        self.records.append(record)
        if self._file is not None:
            self._file.write(_line(record))
            self._file.flush()
        if self._events is not None:
            for name, value in record.values.items():
                self._events.add_scalar(f"{record.split}/{name}", value, record.step)

    def sync(self) -> None:
        """Waits until all records are on the disk."""
        if self._file is not None:
            os.fsync(self._file.fileno())

    def close(self) -> None:
        """Closes the files."""
        if self._file is not None:
            self._file.close()
        if self._events is not None:
            self._events.close()


def read_records(path: Path) -> Iterator[MetricRecord]:
    """Reads metrics.jsonl up to the first line that is no JSON, which a killed run has left unfinished.

    Args:
      path: The file; it may be missing.

    Yields:
      The records in the order of the file.

    Raises:
      RunFolderError: If the file cannot be read, or a line is JSON but no record; the message names line and field.
    """
    try:
        lines = path.read_bytes().splitlines()
    except FileNotFoundError:
        return
    except OSError as error:
        raise RunFolderError(f"--workdir: {path} cannot be read: {error}") from error
    for number, line in enumerate(lines, 1):
        try:
            content = json.loads(line)
        except ValueError:
            return
        try:
            yield records.metric_record(content)
        except RecordError as error:
            raise RunFolderError(f"--workdir: {path} is damaged in line {number}: {error}") from error


def _line(record: MetricRecord) -> str:
    return json.dumps(record._asdict()) + "\n"
