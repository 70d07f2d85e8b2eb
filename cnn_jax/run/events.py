"""TensorBoard events, written by the thread that trains: one of their own could die while the loop waits for it."""

from __future__ import annotations

import time
from pathlib import Path

from tensorboardX import summary
from tensorboardX.event_file_writer import EventsWriter
from tensorboardX.proto.event_pb2 import Event, SessionLog

from cnn_jax import whole_file
from cnn_jax.run.records import MetricRecord

_FLUSH_SECONDS = 120.0


class Events:
    """Writes records as scalars."""

    def __init__(self, folder: Path, step: int):
        """Begins a file of events.

        Args:
          folder: Folder of the events of a run.
          step: Step that training continues from; TensorBoard hides what earlier files have after it.

        Raises:
          OSError: If the file cannot be written.
        """
        self._folder, self._flushed = folder, 0.0
        with whole_file.naming(folder):
            folder.mkdir(exist_ok=True)
            self._writer = EventsWriter(str(folder / "events"))
            if step:
                self._add(Event(step=step + 1, file_version="brain.Event:2"))
                self._add(Event(step=step + 1, session_log=SessionLog(status=SessionLog.START)))

    def write(self, record: MetricRecord) -> None:
        """Writes the values of a record; once in two minutes all that was written goes to the disk.

        Raises:
          OSError: If they cannot be written.
        """
        with whole_file.naming(self._folder):
            for name, value in record.values.items():
                scalar = summary.scalar(f"{record.split}/{name}", value)
                self._add(Event(step=record.step, summary=scalar))
            if time.monotonic() - self._flushed > _FLUSH_SECONDS:
                self._writer.flush()
                self._flushed = time.monotonic()

    def close(self) -> None:
        """Writes what is left, and closes the file."""
        with whole_file.naming(self._folder):
            self._writer.close()

    def _add(self, event: Event) -> None:
        event.wall_time = time.time()
        self._writer.write_event(event)
