"""A sweep's rows from its folder, whatever is missing or spoilt in it."""

import dataclasses
import json

import filelock
import pytest

from cnn_jax.sweep.folder import SweepFolder
from cnn_jax.sweep.points import point_label, short_names
from cnn_jax.sweep.rows import SweepFolderError, code_warnings, read_rows
from cnn_jax.sweep.status import Status
from sweep.written_sweep import fail, finish, trial_of, write_json, write_provenance, write_status, write_sweep

FIELDS = ["model.padding", "model.strides"]


def sweep_of(folder, count, **more):
    trials = [trial_of(n, {"model.padding": "SAME", "model.strides": 1 + n}, seed=0) for n in range(count)]
    write_sweep(folder, FIELDS, trials, **more)
    return trials


def only_row(folder):
    (row,) = read_rows(folder)[1]
    return row


def test_every_figure_of_a_finished_trial(tmp_path):
    (trial,) = sweep_of(tmp_path, 1, baseline={"model.padding": "SAME", "model.strides": 1}, description="Why?")
    finish(tmp_path, trial, 0.9, top5_error=None)
    header, (row,) = read_rows(tmp_path)
    assert dataclasses.astuple(header) == ("padding_and_stride", "Why?", tuple(FIELDS), header.baseline)
    assert header.baseline == {"model.padding": "SAME", "model.strides": 1}
    assert row.point == {"model.padding": "SAME", "model.strides": 1}
    assert row.values == {
        "id": "0000000000000000",
        "status": "done",
        "fault": None,
        "message": "",
        "seed": 0,
        "test_accuracy": 0.9,
        "test_loss": pytest.approx(0.1),
        "top1_error": pytest.approx(0.1),
        "top5_error": None,
        "final_epoch": 3,
        "parameters": 1000,
        "multiply_adds": 50000,
        "images_per_second": 5000.0,
        "compile_seconds": 1.0,
        "training_seconds": 20.0,
        "evaluation_seconds": 2.0,
        "total_seconds": 24.0,
        "attempts": 1,
        "commit": "a" * 40,
        "dirty": None,
        "packages": "jax 0.10.2, flax 0.12.8",
        "device": "Example 9000",
        "host": "bench",
        "trained_together": 1,
        "log_tail": None,
    }


def test_every_status(tmp_path):
    trials = sweep_of(tmp_path, 6)
    trials[1]["infeasible"] = "does not fit"
    write_sweep(tmp_path, FIELDS, trials)
    fail(tmp_path, trials[2], "crash", "exit code 1", ["a", "b"])
    write_status(tmp_path, trials[3], "running")
    write_status(tmp_path, trials[4], "stopped", message="SIGTERM")
    finish(tmp_path, trials[5], 0.5)
    write_status(tmp_path, trials[5], "failed", fault="killed", message="while its report was written")
    with filelock.FileLock(tmp_path / ".lock"):  # as the process that runs the sweep
        rows = read_rows(tmp_path)[1]
    assert [row.status for row in rows] == ["waiting", "infeasible", "failed", "running", "stopped", "done"]
    assert [row.outcome.message for row in rows] == ["", "does not fit", "exit code 1", "", "SIGTERM", ""]
    assert rows[2].outcome.fault == "crash"
    assert rows[2].outcome.log_tail == ("a", "b")
    assert rows[2].values["attempts"] == 2
    assert rows[2].values["total_seconds"] == 12.5
    assert rows[5].outcome.fault is None


def test_a_lock_that_cannot_be_tried_leaves_a_trial_running(tmp_path):
    (trial,) = sweep_of(tmp_path, 1)
    write_status(tmp_path, trial, "running")
    (tmp_path / ".lock").mkdir()  # opening it fails, for the superuser too
    assert only_row(tmp_path).status == "running"


@pytest.mark.parametrize("file", ["result.json", "status.json", "provenance.json"])
@pytest.mark.parametrize("content", ['{"test_accuracy": 0.9, "te', "[]", "", '{"status": "asleep"}', "\udcff"])
def test_a_spoilt_file_spoils_one_row(tmp_path, file, content):
    first, second = sweep_of(tmp_path, 2)
    finish(tmp_path, second, 0.8)
    (tmp_path / "trials" / first["id"]).mkdir(parents=True)
    (tmp_path / "trials" / first["id"] / file).write_bytes(content.encode(errors="surrogateescape"))
    spoilt, whole = read_rows(tmp_path)[1]
    assert (spoilt.status, spoilt.outcome.fault) == ("failed", "damaged")
    assert f"trials/{first['id']}/{file} is damaged: " in spoilt.outcome.message
    assert (whole.status, whole.values["test_accuracy"]) == ("done", 0.8)


@pytest.mark.parametrize(("value", "fault"), [("null", "valid number"), ("NaN", "finite number"), ('"x"', "number")])
def test_a_result_without_an_accuracy(tmp_path, value, fault):
    (trial,) = sweep_of(tmp_path, 1)
    finish(tmp_path, trial, 0.8125)
    path = tmp_path / "trials" / trial["id"] / "result.json"
    path.write_text(path.read_text().replace("0.8125", value, 1))
    row = only_row(tmp_path)
    assert (row.status, row.outcome.fault, row.values["test_accuracy"]) == ("failed", "damaged", None)
    assert "result.json is damaged: test_accuracy: " in row.outcome.message
    assert fault in row.outcome.message


def test_a_result_counts_though_other_files_are_spoilt(tmp_path):
    (trial,) = sweep_of(tmp_path, 1)
    finish(tmp_path, trial, 0.8)
    for file in ("status.json", "provenance.json"):
        (tmp_path / "trials" / trial["id"] / file).write_text("{")
    row = only_row(tmp_path)
    assert (row.status, row.values["test_accuracy"], row.values["commit"]) == ("done", 0.8, None)
    assert "provenance.json is damaged" in row.outcome.message
    assert "status.json is damaged" in row.outcome.message


def test_done_without_a_result_is_no_result(tmp_path):
    (trial,) = sweep_of(tmp_path, 1)
    write_status(tmp_path, trial, "done")
    row = only_row(tmp_path)
    assert (row.status, row.outcome.fault) == ("failed", "damaged")
    assert "status.json says done, but there is no result.json" in row.outcome.message


def test_a_trial_listed_twice_counts_once(tmp_path):
    (trial,) = sweep_of(tmp_path, 1)
    write_sweep(tmp_path, FIELDS, [trial, trial])
    assert len(read_rows(tmp_path)[1]) == 1


def test_a_folder_without_a_sweep(tmp_path):
    with pytest.raises(SweepFolderError, match=r"nowhere is no folder: expected the folder that a sweep wrote"):
        read_rows(tmp_path / "nowhere")
    with pytest.raises(SweepFolderError, match=r"has no sweep.json: expected"):
        read_rows(tmp_path)
    write_json(tmp_path / "config.json", {})
    with pytest.raises(SweepFolderError, match="it is the folder of a single run"):
        read_rows(tmp_path)


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        ('{"experiment": "a"', "sweep.json is damaged"),
        ('{"experiment": "a", "fields": [], "trials": [{"id": "a", "point": {}}]}', "trials.0.seed: Field required"),
    ],
)
def test_a_spoilt_sweep_file(tmp_path, content, fault):
    (tmp_path / "sweep.json").write_text(content)
    with pytest.raises(SweepFolderError, match=fault):
        read_rows(tmp_path)


def test_warnings_say_what_differs_and_in_how_many_trials(tmp_path):
    trials = sweep_of(tmp_path, 6)
    for trial in trials[:5]:
        finish(tmp_path, trial, 0.9)
    assert code_warnings(read_rows(tmp_path)[1]) == []
    write_provenance(tmp_path, trials[5], commit="d" * 40)  # not finished, so it says nothing
    assert code_warnings(read_rows(tmp_path)[1]) == []
    write_provenance(tmp_path, trials[0], dirty="0123456789ab")
    write_provenance(tmp_path, trials[1], packages={"jax": "0.10.1", "flax": "0.12.8"})
    four = {"platform": "tpu", "kind": "TPU v5e", "count": 4, "processor": "Example 9000"}
    write_provenance(tmp_path, trials[2], devices=four)
    same, other = "a" * 10, "with uncommitted changes 0123456789ab"
    assert code_warnings(read_rows(tmp_path)[1]) == [
        f"Finished trials come from different code: commit {same} (4 trials); commit {same} {other} (1 trial).",
        "Finished trials ran with different versions of jax: 0.10.2 (4 trials); 0.10.1 (1 trial).",
        "Finished trials ran on different devices: Example 9000 (4 trials); 4 x TPU v5e (1 trial).",
    ]


def test_a_trial_that_was_resumed_under_other_conditions(tmp_path):
    trials = sweep_of(tmp_path, 2)
    for trial in trials:
        finish(tmp_path, trial, 0.9)
    path = tmp_path / "trials" / trials[1]["id"] / "provenance.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"changes": ["cores: 1 -> 2"]}))
    (warning,) = code_warnings(read_rows(tmp_path)[1])
    assert warning.startswith("Finished trials that were resumed under other conditions than they began: 1;")


def test_names_of_points():
    assert short_names(["model.padding", "optimizer.name", "data.name"]) == {
        "model.padding": "padding",
        "optimizer.name": "optimizer.name",
        "data.name": "data.name",
    }
    values = ([[1, 2], [0, 0]], 2, None)
    assert point_label(["model.padding", "a.strides", "a.rate"], values) == "padding=[[1,2],[0,0]], strides=2"
    assert point_label(["model.padding"], (None,)) == "nothing set"
    assert point_label([], ()) == "all trials"


def test_what_an_engine_writes_is_read(tmp_path):
    trials = [trial_of(n, {"a.b": n}, seed=0) for n in range(2)]
    write_sweep(tmp_path, ["a.b"], trials)
    folder = SweepFolder(tmp_path)
    for trial, status in zip(trials, ("waiting", "stopped"), strict=True):
        folder.trial(trial["id"]).path.mkdir(parents=True)
        # A trial killed from outside waits for its next attempt.
        folder.write_status(trial["id"], Status(status, message="ended by SIGKILL", signal="SIGKILL", attempts=1))
    _, rows = read_rows(tmp_path)
    assert [(row.status, row.outcome.fault, row.values["attempts"]) for row in rows] == [
        ("waiting", None, 1),
        ("stopped", None, 1),
    ]
