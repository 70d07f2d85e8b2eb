"""TensorBoard events: read back as TensorBoard reads them, written without a thread, failing where they are written."""

import errno
import os
import struct
import threading

import pytest
from tensorboardX.proto.event_pb2 import Event, SessionLog

from cnn_jax.run.events import Events
from cnn_jax.run.records import MetricRecord


def events(folder):
    """Reads the files in the order of their names: a length, its checksum, the event, its checksum."""
    found = []
    for path in sorted(folder.iterdir()):
        content = path.read_bytes()
        while content:
            (size,) = struct.unpack("<Q", content[:8])
            found.append(Event.FromString(content[12 : 12 + size]))
            content = content[16 + size :]
    return found


def record(step):
    return MetricRecord(step, step / 2, "train", {"loss": 1.0 / step, "accuracy": 0.5})


def test_every_value_is_a_scalar_and_no_thread_writes_it(tmp_path):
    threads = threading.enumerate()
    written = Events(tmp_path / "tensorboard", 0)
    for step in (1, 2, 4):
        written.write(record(step))
    assert threading.enumerate() == threads
    written.close()
    values = [
        (event.step, value.tag, value.simple_value)
        for event in events(tmp_path / "tensorboard")
        for value in event.summary.value
    ]
    expected = [
        (step, tag, value) for step in (1, 2, 4) for tag, value in (("train/loss", 1 / step), ("train/accuracy", 0.5))
    ]
    assert values == expected


def test_a_resumed_run_hides_what_came_after_its_step(tmp_path):
    Events(tmp_path, 7).close()
    [start] = [event for event in events(tmp_path) if event.HasField("session_log")]
    assert (start.step, start.session_log.status) == (8, SessionLog.START)


def test_a_full_disk_is_raised_where_it_is_written(tmp_path, monkeypatch):
    written = Events(tmp_path / "tensorboard", 0)

    def full(*arguments):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr(written._writer, "write_event", full)
        for step in range(1, 30):  # more than a queue of tensorboardX holds
            with pytest.raises(OSError, match="No space left") as raised:
                written.write(record(step))
    assert raised.value.filename == str(tmp_path / "tensorboard")
    written.close()
