"""metrics.jsonl and TensorBoard events of one run."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cnn_jax import whole_file
from cnn_jax.run import records
from cnn_jax.run.errors import RunFolderError, reason
from cnn_jax.run.records import MetricRecord, RecordError, RecordsDigest

if TYPE_CHECKING:
    from cnn_jax.run.events import Events

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
          OSError: If it cannot be written.
        """
        self.records, self._path = _records_until(path, step), path
        self._digest = hashlib.sha256()
        for record in self.records:
            self._digest.update(_line(record))
        self._file: Any = None
        self._events: Events | None = None
        if not writes:
            return
        whole_file.write(path, b"".join(map(_line, self.records)))
        self._file = path.open("ab", buffering=0)
        if tensorboard:
            from cnn_jax.run.events import Events  # its library costs a third of a second, which sweeps may spare

            try:
                self._events = Events(path.with_name("tensorboard"), step)
            except OSError:
                self._file.close()
                raise

    def write(self, record: MetricRecord) -> None:
        """Appends one record.

        Raises:
          OSError: If it cannot be written; the file is as before.
        """
        line = _line(record)
        if self._file is not None:
            whole_file.append(self._file, line)
        self.records.append(record)
        self._digest.update(line)
        if self._events is not None:
            self._events.write(record)

    def digest(self) -> RecordsDigest:
        """Gives the digest of all records so far."""
        return RecordsDigest(count=len(self.records), sha256=self._digest.hexdigest())

    def sync(self) -> None:
        """Waits until all records are on the disk."""
        if self._file is not None:
            with whole_file.naming(self._path):
                os.fsync(self._file.fileno())

    def close(self) -> None:
        """Closes the files."""
        if self._file is not None:
            self._file.close()
        if self._events is not None:
            events = self._events
            self._events = None
            events.close()


def check(path: Path, step: int, seen: RecordsDigest | None) -> None:
    """Checks that metrics.jsonl has the records that a checkpoint was saved with.

    Args:
      path: The file.
      step: Step of the checkpoint.
      seen: Digest of the records; None for a checkpoint of an older version, which has none.

    Raises:
      RunFolderError: If it cannot be read, or the records are others.
    """
    if seen is None:
        return
    records = _records_until(path, step)
    if len(records) == seen.count and hashlib.sha256(b"".join(map(_line, records))).hexdigest() == seen.sha256:
        return
    found = f"{len(records)} of the {seen.count}" if len(records) != seen.count else f"others than the {seen.count}"
    raise RunFolderError(
        f"--workdir: {path} has {found} records that checkpoint {step} was saved with: it was cut short or changed; "
        f"bring the file back, or name another --workdir to train anew"
    )


def _records_until(path: Path, step: int) -> list[MetricRecord]:
    return [record for record in read_records(path) if record.step <= step]


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
        raise RunFolderError(f"--workdir: {path} cannot be read: {reason(error)}") from error
    for number, line in enumerate(lines, 1):
        try:
            content = json.loads(line)
        except (ValueError, RecursionError):
            return
        try:
            yield records.metric_record(content)
        except RecordError as error:
            raise RunFolderError(f"--workdir: {path} is damaged in line {number}: {error}") from error


def _line(record: MetricRecord) -> bytes:
    return (json.dumps(record._asdict()) + "\n").encode()
