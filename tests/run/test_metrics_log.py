"""metrics.jsonl through kills and resumptions."""

import pytest

from cnn_jax.run.errors import RunFolderError
from cnn_jax.run.metrics_log import MetricsLog, check, read_records
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


@pytest.mark.parametrize("end", [b'{"step": 2, "ep', b"\x00\x00\x00", b"\xff\n", b"[" * 100_000, b""])
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


def written(path, steps):
    log = MetricsLog(path, 0, tensorboard=False)
    for step in steps:
        log.write(MetricRecord(step, step / 2, "train", {"loss": 1.0 / step, "accuracy": 0.5}))
    log.close()
    return log


def cut(lines):
    return lines[:2]


def emptied(lines):
    return []


def altered(lines):
    return [lines[0], lines[1].replace(b"0.5}", b"0.6}"), *lines[2:]]


def swapped(lines):
    return [lines[1], lines[0], *lines[2:]]


def doubled(lines):
    return [lines[0], *lines]


@pytest.mark.parametrize("change", [cut, emptied, altered, swapped, doubled])
def test_other_records_than_a_checkpoint_was_saved_with_are_refused(tmp_path, change):
    path = tmp_path / "metrics.jsonl"
    seen = written(path, (1, 2, 3)).digest()
    check(path, 3, seen)
    with path.open("ab") as file:
        file.write(b'{"step": 4, "epoch": 2.0, "split": "train", "values": {"loss": 9.0}}\n{"step": 5')
    check(path, 3, seen)  # later ones, and one that was not finished, are dropped
    lines = change(path.read_bytes().splitlines(keepends=True)[:3])
    path.write_bytes(b"".join(lines))
    with pytest.raises(RunFolderError, match=r"metrics.jsonl has .* records that checkpoint 3 was saved with"):
        check(path, 3, seen)
    check(path, 3, None)  # a checkpoint of an older version does not know


def test_a_file_that_is_gone_is_refused(tmp_path):
    seen = written(tmp_path / "metrics.jsonl", (1, 2)).digest()
    (tmp_path / "metrics.jsonl").unlink()
    with pytest.raises(RunFolderError, match="0 of the 2 records"):
        check(tmp_path / "metrics.jsonl", 2, seen)


def test_the_digest_of_a_resumed_log_goes_on(tmp_path):
    once = written(tmp_path / "once.jsonl", (1, 2, 3)).digest()
    written(tmp_path / "twice.jsonl", (1, 2, 9))
    log = MetricsLog(tmp_path / "twice.jsonl", 2, tensorboard=False)
    log.write(MetricRecord(3, 1.5, "train", {"loss": 1.0 / 3, "accuracy": 0.5}))
    log.close()
    assert log.digest() == once
