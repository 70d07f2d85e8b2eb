"""Folders of runs and sweeps are read, grouped into entries, and refused where they hold none."""

import shutil
from pathlib import Path

import filelock
import pytest
from support.written_runs import change, write_run
from sweep.search.made_up import score
from sweep.written_sweep import padding_and_stride, trial_of, write_sweep

from cnn_jax.config.parsing import ConfigError
from cnn_jax.report.compared_runs import ABSENT, UNKNOWN, differing, holds_runs, read_entries
from cnn_jax.run.errors import RunFolderError

OLD_RUN = Path(__file__).parents[1] / "run" / "old_run"


def names(entries):
    return [entry.name for entry in entries]


def notes(entries):
    return [note for entry in entries for run in entry.runs for note in run.notes]


def test_runs_that_differ_in_the_seed_alone_are_one_entry(tmp_path):
    for seed in range(3):
        write_run(tmp_path / f"a{seed}", 0.8, seed)
        write_run(tmp_path / f"b{seed}", 0.9, seed, model__padding="SAME")
    entries = read_entries([tmp_path])
    assert names(entries) == ["a0 and 2 more seeds", "b0 and 2 more seeds"]
    assert [[run.row.seed for run in entry.runs] for entry in entries] == [[0, 1, 2]] * 2
    assert differing(entries) == {"model.padding": ["VALID", "SAME"]}
    assert notes(entries) == []


def test_the_order_is_that_of_the_command(tmp_path):
    folders = [write_run(tmp_path / name, 0.8, model__padding=p) for name, p in (("b", "VALID"), ("a", "SAME"))]
    assert names(read_entries(folders)) == ["b", "a"]
    assert names(read_entries(folders[::-1])) == ["a", "b"]


def test_seeds_alone_stay_apart(tmp_path):
    entries = read_entries([write_run(tmp_path / f"a{seed}", 0.8, seed) for seed in (4, 5)])
    assert names(entries) == ["a4", "a5"]
    assert differing(entries) == {}


def test_a_seed_that_was_repeated_stays_apart(tmp_path):
    folders = [write_run(tmp_path / folder / "run", 0.8) for folder in ("first", "second")]
    other = write_run(tmp_path / "other", 0.8, model__padding="SAME")
    assert names(read_entries([*folders, other])) == ["first/run", "second/run", "other"]


def test_other_data_are_another_entry(tmp_path):
    folders = [write_run(tmp_path / "a", 0.8), write_run(tmp_path / "b", 0.8, 1, {"checksum": "c" * 64})]
    third = write_run(tmp_path / "c", 0.8, model__padding="SAME")
    assert names(read_entries([*folders, third])) == ["a", "b", "c"]


def test_fields_of_other_sections(tmp_path):
    one = write_run(tmp_path / "a", 0.8, optimizer={"name": "sgd", "learning_rate": 0.1, "momentum": 0.9})
    other = write_run(tmp_path / "b", 0.8, optimizer={"name": "adam", "learning_rate": 0.1})
    found = differing(read_entries([one, other]))
    assert found["optimizer.name"] == ["sgd", "adam"]
    assert found["optimizer.momentum"] == [0.9, ABSENT]
    assert "optimizer.learning_rate" not in found


def test_where_the_data_lie_is_no_difference(tmp_path):
    data = {"name": "idx", "normalize": "scale"}
    runs = []
    for place in ("here", "there"):
        files = {name: f"/{place}/{name}" for name in ("train_images", "train_labels", "test_images", "test_labels")}
        runs.append(write_run(tmp_path / place, 0.8, data=data | files))
    assert differing(read_entries(runs)) == {}


def test_points_of_a_sweep_beside_a_run(tmp_path):
    sweep = padding_and_stride(tmp_path / "sweep")
    entries = read_entries([write_run(tmp_path / "run", 0.8), sweep])
    assert names(entries)[:3] == ["run", "sweep: padding=VALID, strides=1", "sweep: padding=VALID, strides=2"]
    assert len(entries) == 16
    assert len(entries[1].runs) == 3
    told = notes(entries)
    assert (
        "trial 000000000000000d (seed 1) is failed (diverged: the training loss is nan after step 40 (epoch 1))" in told
    )
    assert any("is infeasible" in note for note in told)


def test_of_a_search_the_confirmed_points(finished_search, tmp_path):
    found, folder = finished_search
    run = write_run(tmp_path / "run", 0.8)
    entries = read_entries([run, folder])
    assert len(entries) == 1 + len(found.confirmed) == 3
    for entry, each in zip(entries[1:], found.confirmed, strict=True):
        rate = found.points[each.number - 1].point["optimizer.learning_rate"]
        assert f"learning_rate={rate}" in entry.name
        assert [run.row.seed for run in entry.runs] == [1, 2, 3]
        assert [run.row.result.test_accuracy for run in entry.runs] == [
            1 - score({"seed": seed, "optimizer": {"learning_rate": rate}}, 9) for seed in (1, 2, 3)
        ]


def test_a_folder_of_runs_and_sweeps(tmp_path):
    write_run(tmp_path / "runs" / "a", 0.8)
    padding_and_stride(tmp_path / "runs" / "sweep", seeds=1)
    (tmp_path / "runs" / "notes").mkdir()
    assert holds_runs(tmp_path / "runs")
    assert not holds_runs(tmp_path / "runs" / "a")
    assert not holds_runs(tmp_path / "runs" / "sweep")
    assert not holds_runs(tmp_path / "runs" / "notes")
    assert names(read_entries([tmp_path / "runs"]))[0] == "a"


# --- what is not whole is told in words ---


@pytest.fixture
def two(tmp_path):
    """A whole run, and another one to be spoilt."""
    return write_run(tmp_path / "whole", 0.9), write_run(tmp_path / "spoilt", 0.8, model__padding="SAME")


def test_a_run_that_is_not_finished(tmp_path, two):
    entries = read_entries([two[0], write_run(tmp_path / "stopped", None, model__padding="SAME")])
    assert notes(entries) == [
        "it is not finished: it ended after epoch 2 of 3; repeat the training command to continue it"
    ]
    assert [run.row.status for entry in entries for run in entry.runs] == ["done", "stopped"]


def test_a_run_that_trains_now(tmp_path, two):
    folder = write_run(tmp_path / "now", None, model__padding="SAME")
    with filelock.FileLock(folder / ".lock"):
        entries = read_entries([two[0], folder])
    assert notes(entries) == ["it is still training, after epoch 2 of 3"]
    assert entries[1].runs[0].row.status == "running"


@pytest.mark.parametrize(
    ("spoil", "told", "status"),
    [
        (lambda run: (run / "result.json").write_text("{"), "result.json is damaged", "failed"),
        (lambda run: change(run / "result.json", test_accuracy="good"), "result.json is damaged: test_acc", "failed"),
        (lambda run: change(run / "result.json", test_accuracy=0.99), "result.json has test_accuracy 0.99", "done"),
        (lambda run: (run / "dataset.json").unlink(), "its training images are not known", "done"),
        (lambda run: (run / "provenance.json").write_text("[]"), "provenance.json is damaged", "done"),
        (lambda run: (run / "config.json").unlink(), "its config is not known and not compared", "done"),
        (lambda run: (run / "config.json").write_text("?"), "config.json cannot be read", "done"),
        (lambda run: change(run / "config.json", beauty=1), "is compared as written", "done"),
        (lambda run: (run / "metrics.jsonl").write_text('{"step": "x"}\n'), "the curves end there", "done"),
        (lambda run: (run / "metrics.jsonl").unlink(), None, "done"),
    ],
)
def test_a_run_with_a_spoilt_file(two, spoil, told, status):
    spoil(two[1])
    entries = read_entries(two)
    assert entries[1].runs[0].row.status == status
    found = notes(entries)
    assert (found == []) if told is None else any(told in note for note in found), found
    assert not any(note.startswith("--workdir") for note in found)


def test_a_run_of_an_old_version(two):
    entries = read_entries([two[0], OLD_RUN])
    assert names(entries) == ["whole", "old_run"]
    assert entries[1].runs[0].row.result.test_accuracy == 0.5
    assert entries[1].runs[0].row.seed < 0, "a seed that is not known is paired with none"
    assert notes(entries) == [
        "it has no config.json: its config is not known and not compared, and its seed is not paired"
    ]
    third = read_entries([*two, OLD_RUN])
    assert differing(third) == {"model.padding": ["VALID", "SAME", UNKNOWN]}


def test_names_are_different(tmp_path):
    folders = [tmp_path / name for name in ("a/x/run", "b/x/run", "c/x/run (2)", "d/x/run")]
    names_ = names(read_entries([write_run(folder, 0.8, n, model__padding="SAME") for n, folder in enumerate(folders)]))
    assert len(set(names_)) == 4


def test_a_damaged_search_is_refused(tmp_path):
    sweep = padding_and_stride(tmp_path / "sweep", seeds=1)
    (sweep / "search.json").write_text("{}")
    with pytest.raises(RunFolderError, match=r"sweep: search.json is damaged: .*; remove the file and start"):
        read_entries([sweep, write_run(tmp_path / "run", 0.8)])


# --- wrong folders ---


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (["whole", "nowhere"], "nowhere: there is no such folder; in TMP: spoilt, whole"),
        (["whole", "whole/config.json"], "whole/config.json: is a file, expected the folder of a run"),
        (["whole", "whole/report"], "whole/report: is part of the run TMP/whole; give that folder"),
        (["whole", "sweep/report"], "sweep/report: is part of the sweep TMP/sweep; give that folder"),
        (["whole", "empty"], "empty: holds nothing, expected the folder of a run"),
        (["whole", "other"], "other: holds a.txt, expected the folder of a run"),
        (["whole", "spoilt", "whole/../whole"], "was given twice"),
        (["whole"], "whole is one run; give another one to compare it with, or `report --workdir=TMP/whole`"),
        (["one"], "one is one sweep with one point to compare; `report --workdir=TMP/one` has its trials"),
    ],
)
def test_wrong_folders_are_refused(tmp_path, two, given, told):
    (two[0] / "report").mkdir()
    for name in ("empty", "other", "one"):
        (tmp_path / name).mkdir()
    (tmp_path / "other" / "a.txt").touch()
    if "sweep/report" in given:
        padding_and_stride(tmp_path / "sweep", seeds=1)
        (tmp_path / "sweep" / "report").mkdir()
    if given == ["one"]:
        shutil.rmtree(tmp_path / "one")
        write_sweep(tmp_path / "one", [], [trial_of(0, {}, 0)])
    with pytest.raises(ConfigError) as caught:
        read_entries([tmp_path / name for name in given])
    assert told.replace("TMP", str(tmp_path)) in str(caught.value)
