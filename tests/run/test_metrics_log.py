"""metrics.jsonl through kills and resumptions."""

from cnn_jax.run.metrics_log import MetricsLog, Record, read_records


def test_records_come_back(tmp_path):
    path = tmp_path / "metrics.jsonl"
    log = MetricsLog(path, 0, tensorboard=True)
    log.write(Record(3, 1.0, "train", {"loss": 0.5}))
    log.close()
    assert list(read_records(path)) == [Record(3, 1.0, "train", {"loss": 0.5})]
    assert list((tmp_path / "tensorboard").glob("events*"))


def test_a_resumed_run_drops_what_its_checkpoint_does_not_know(tmp_path):
    path = tmp_path / "metrics.jsonl"
    log = MetricsLog(path, 0, tensorboard=False)
    for step in (1, 2, 3):
        log.write(Record(step, step / 2, "train", {"loss": 1.0 / step}))
    log.close()
    with path.open("a") as file:
        file.write('{"step": 4, "epo')  # killed while writing
    log = MetricsLog(path, 2, tensorboard=False)
    log.write(Record(3, 1.5, "train", {"loss": 9.0}))
    log.close()
    assert [(record.step, record.values["loss"]) for record in read_records(path)] == [(1, 1.0), (2, 0.5), (3, 9.0)]


def test_no_file_no_records(tmp_path):
    assert list(read_records(tmp_path / "none.jsonl")) == []
