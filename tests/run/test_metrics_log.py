"""metrics.jsonl through kills and resumptions."""

import pytest

from cnn_jax.run.errors import RunFolderError
from cnn_jax.run.metrics_log import MetricsLog, read_records
from cnn_jax.run.records import MetricRecord


def test_records_come_back(tmp_path):
    path = tmp_path / "metrics.jsonl"
    log = MetricsLog(path, 0, tensorboard=True)
    log.write(MetricRecord(3, 1.0, "train", {"loss": 0.5}))
    log.close()
    assert list(read_records(path)) == [MetricRecord(3, 1.0, "train", {"loss": 0.5})]
    assert list((tmp_path / "tensorboard").glob("events*"))


def test_a_resumed_run_drops_what_its_checkpoint_does_not_know(tmp_path):
    path = tmp_path / "metrics.jsonl"
    log = MetricsLog(path, 0, tensorboard=False)
    for step in (1, 2, 3):
        log.write(MetricRecord(step, step / 2, "train", {"loss": 1.0 / step}))
    log.close()
    with path.open("a") as file:
        file.write('{"step": 4, "epo')  # killed while writing
    log = MetricsLog(path, 2, tensorboard=False)
    log.write(MetricRecord(3, 1.5, "train", {"loss": 9.0}))
    log.close()
    assert [(record.step, record.values["loss"]) for record in read_records(path)] == [(1, 1.0), (2, 0.5), (3, 9.0)]


def test_no_file_no_records(tmp_path):
    assert list(read_records(tmp_path / "none.jsonl")) == []


WHOLE = b'{"step": 1, "epoch": 0.5, "split": "train", "values": {"loss": 1.0}}\n'


@pytest.mark.parametrize("end", [b'{"step": 2, "ep', b"\x00\x00\x00", b"\xff\n", b""])
def test_a_line_that_a_killed_run_left_unfinished_ends_the_records(tmp_path, end):
    (tmp_path / "metrics.jsonl").write_bytes(WHOLE + end)
    assert list(read_records(tmp_path / "metrics.jsonl")) == [MetricRecord(1, 0.5, "train", {"loss": 1.0})]


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        (b'{"step": 2}\n', "epoch: Field required"),
        (
            b'{"step": 2, "epoch": 1.0, "split": "test", "values": {"loss": "low"}}\n',
            'values.loss: got "low", expected',
        ),
        (b"3\n", "the content: got 3, expected"),
    ],
)
def test_a_line_that_is_no_record_is_refused(tmp_path, line, fault):
    (tmp_path / "metrics.jsonl").write_bytes(WHOLE + line + WHOLE)
    with pytest.raises(RunFolderError, match=f"metrics.jsonl is damaged in line 2: {fault}"):
        list(read_records(tmp_path / "metrics.jsonl"))
