"""A sweep's folder as people and machines leave it: what the driver sees in it, the tables see too."""

import io
import json
import shutil
from pathlib import Path

import filelock
import pytest
from rich.console import Console

from cnn_jax.run.errors import RunFolderError
from cnn_jax.sweep import driver, plan
from cnn_jax.sweep.driver import OpenSweep
from cnn_jax.sweep.engines.worker_process import Workers
from cnn_jax.sweep.feasibility import Examined, Findings
from cnn_jax.sweep.folder import SweepFolder, entries_of
from cnn_jax.sweep.options import Options
from cnn_jax.sweep.rows import SweepFolderError, read_rows
from cnn_jax.sweep.status import Status
from sweep.written_sweep import CPU, PACKAGES, result_of, write_json

CHECKSUM = "abc"


@pytest.fixture
def sweep(write_experiment, tmp_path):
    """Three trials of a sweep whose folder is claimed and declared; none has begun."""
    known = Examined(CHECKSUM, 10, 20)
    found = plan.read(write_experiment("repeat_seeds(3)"), {})
    folder = SweepFolder(tmp_path / "sweep")
    folder.claim(found)
    entries = entries_of(found, [known] * 3)
    folder.declare(found, entries)
    yield OpenSweep(found, folder, entries, Findings((known,) * 3, "cpu", 1), Workers())
    folder.release()


class Engine:
    """Stands for an engine: what it does is a function of a trial."""

    def __init__(self, folder, does):
        self.folder, self.does = folder, does
        self.ran = []

    def run(self, groups, report, stopping):
        for (entry,) in groups:
            self.ran.append(entry.id)
            self.folder.prepare(entry)
            report(entry, Status("running", attempts=1))
            report(entry, self.does(entry))


def run(sweep, monkeypatch, does=lambda entry: Status("done", attempts=1), **options):
    """Runs a sweep's trials by a stand-in; gives the ids that ran, the outcome and what was printed."""
    engine, out = Engine(sweep.folder, does), io.StringIO()
    monkeypatch.setattr(driver, "_engine", lambda *given: engine)
    outcome = driver.run(sweep, sweep.plan.trials, None, Options(**options), Console(file=out, width=500))
    return engine.ran, outcome, out.getvalue()


def trial_path(sweep, place, file=""):
    return sweep.folder.trial(sweep.entries[place].id).path / file


def finish(sweep, place):
    """Writes what a finished trial leaves."""
    sweep.folder.prepare(sweep.entries[place])
    provenance = {"git": None, "packages": PACKAGES, "devices": CPU, "data": {"name": "idx", "checksum": CHECKSUM}}
    write_json(trial_path(sweep, place, "provenance.json"), provenance)
    write_json(trial_path(sweep, place, "result.json"), result_of(0.9))
    sweep.folder.write_status(sweep.entries[place].id, Status("done", attempts=1))


def seen(sweep):
    """How the trials stand, as the tables say, after a check that the driver says the same."""
    rows = read_rows(sweep.folder.path)[1]
    told = [(row.outcome.status, row.outcome.fault, row.outcome.message) for row in rows]
    statuses = [sweep.folder.status(entry.id) for entry in sweep.entries]
    assert [(status.status, status.fault, status.message) for status in statuses] == told
    return told


SPOILT = ["{}", "[]", "", '{"test_accuracy": 0.9, "te', '{"status": "asleep"}', "\udcff", "[" * 100_000]


@pytest.mark.parametrize("content", SPOILT)
@pytest.mark.parametrize("file", ["result.json", "status.json", "provenance.json"])
def test_a_damaged_file_is_seen_by_all(sweep, file, content):
    finish(sweep, 1)
    if file != "result.json":
        trial_path(sweep, 1, "result.json").unlink()
    trial_path(sweep, 1, file).write_bytes(content.encode(errors="surrogateescape"))
    status, fault, message = seen(sweep)[1]
    if (file, content) == ("status.json", "{}"):  # all its fields have defaults
        assert (status, fault) == ("waiting", None)
    else:
        assert (status, fault) == ("failed", "damaged")
        assert f"{file} is damaged" in message


def test_a_result_that_is_none_is_set_aside_and_the_trial_runs(sweep, monkeypatch):
    for place in range(3):
        finish(sweep, place)
    trial_path(sweep, 1, "result.json").write_text("{}")
    trial_path(sweep, 1, "checkpoints").mkdir()

    def trains(entry):
        assert not (sweep.folder.trial(entry.id).path / "result.json").exists()
        assert (sweep.folder.trial(entry.id).path / "checkpoints").exists(), "it goes on from them"
        write_json(sweep.folder.trial(entry.id).path / "result.json", result_of(0.9))
        return Status("done", attempts=2)

    ran, outcome, said = run(sweep, monkeypatch, trains)
    assert ran == [sweep.entries[1].id]
    assert outcome.failed == 0
    assert "2 done, 1 failed; 1 to run" in said
    assert trial_path(sweep, 1, "result.json.damaged").read_text() == "{}"
    assert [status for status, _, _ in seen(sweep)] == ["done"] * 3


@pytest.mark.parametrize(("was", "now"), [("0.9", "0.8"), ("5000.0", "5001.0")])
def test_a_changed_figure_is_not_silent(sweep, was, now):
    finish(sweep, 1)
    name = sweep.entries[1].id
    assert seen(sweep)[1][0] == "done", "older versions have no digest"
    sweep.folder.write_status(name, Status("done", attempts=1, result_sha256=sweep.folder.result_sha256(name)))
    assert seen(sweep)[1][0] == "done"
    path = trial_path(sweep, 1, "result.json")
    assert was in path.read_text()
    path.write_text(path.read_text().replace(was, now, 1))
    status, fault, message = seen(sweep)[1]
    assert (status, fault) == ("failed", "damaged")
    assert message == f"trials/{name}/result.json is damaged: it was changed after the trial had ended"
    sweep.folder.prepare(sweep.entries[1])  # as a worker is about to train it again
    assert not path.exists()


@pytest.mark.parametrize("options", [{}, {"retry_failed": True}])
def test_a_config_that_was_changed_is_not_the_trials(sweep, monkeypatch, options):
    for place in range(3):
        finish(sweep, place)
    config = trial_path(sweep, 2, "config.json")
    changed = json.loads(config.read_text())
    changed["train"]["epochs"] += 1
    write_json(config, changed)
    before = config.read_bytes()
    status, fault, message = seen(sweep)[2]
    assert (status, fault) == ("failed", "changed")
    ran, outcome, said = run(sweep, monkeypatch, **options)
    assert ran == []
    assert outcome.failed == 1
    assert f"move the folder trials/{sweep.entries[2].id} away" in message
    assert message in said
    assert config.read_bytes() == before


@pytest.mark.parametrize("content", ["", "[]", "{", "\udcff", "[" * 100_000])
def test_a_damaged_config_is_told_and_written_anew_before_the_trial_runs(sweep, content):
    finish(sweep, 0)
    trial_path(sweep, 0, "config.json").write_bytes(content.encode(errors="surrogateescape"))
    status, fault, message = seen(sweep)[0]
    assert (status, fault) == ("done", None), "the result has a digest of its own"
    assert "config.json is damaged" in message
    trial_path(sweep, 0, "result.json").unlink()
    assert seen(sweep)[0][:2] == ("failed", "damaged")
    sweep.folder.prepare(sweep.entries[0])
    assert sweep.folder.trial(sweep.entries[0].id).experiment() == sweep.entries[0].trial.experiment


def test_a_config_is_written_anew_where_nothing_was_trained(sweep):
    entry = sweep.entries[0]
    for content in ("", "{", "{}", '{"seed": 77}', "[" * 100_000):
        trial_path(sweep, 0).mkdir(parents=True, exist_ok=True)
        trial_path(sweep, 0, "config.json").write_text(content)
        sweep.folder.prepare(entry)
        assert sweep.folder.trial(entry.id).experiment() == entry.trial.experiment


@pytest.mark.parametrize("file", ["result.json", "status.json"])
def test_what_cannot_be_read_is_not_damaged_and_does_not_run(sweep, monkeypatch, file):
    finish(sweep, 0)
    read_bytes = Path.read_bytes

    def failing(path):
        if path == trial_path(sweep, 0, file):
            raise OSError(5, "Input/output error")
        return read_bytes(path)

    monkeypatch.setattr(Path, "read_bytes", failing)
    if file == "status.json":
        trial_path(sweep, 0, "result.json").unlink()
    status, fault, message = seen(sweep)[0]
    assert (status, fault) == ("failed", "unreadable")
    assert f"{file} cannot be read: Input/output error" in message
    ran, _, said = run(sweep, monkeypatch)
    assert ran == [entry.id for entry in sweep.entries[1:]]
    assert message in said
    assert not trial_path(sweep, 0, "result.json.damaged").exists()


def test_a_file_in_place_of_a_trials_folder_stops_no_other(sweep, monkeypatch):
    folder = trial_path(sweep, 0, "log.txt").parent
    shutil.rmtree(folder, ignore_errors=True)
    folder.parent.mkdir(exist_ok=True)
    folder.write_text("notes")
    status, fault, message = seen(sweep)[0]
    assert (status, fault) == ("failed", "unreadable")
    assert f"trials/{folder.name} is a file, expected a folder" in message
    ran, _, said = run(sweep, monkeypatch)
    assert ran == [entry.id for entry in sweep.entries[1:]]
    assert message in said
    assert folder.read_text() == "notes"


@pytest.mark.parametrize("error", [RuntimeError("a bug"), KeyboardInterrupt(), OSError(28, "No space left on device")])
def test_nothing_is_left_running_when_a_sweep_ends_by_an_error(sweep, monkeypatch, error):
    def fails(entry):
        raise error

    with pytest.raises(type(error)):
        run(sweep, monkeypatch, fails)
    statuses = [json.loads(path.read_text())["status"] for path in sweep.folder.path.glob("trials/*/status.json")]
    assert statuses == ["stopped"]


def test_what_a_killed_sweep_left_running_is_stopped(sweep, monkeypatch):
    first, second = sweep.entries[0].id, sweep.entries[1].id
    for entry in sweep.entries[:2]:
        sweep.folder.prepare(entry)
        sweep.folder.write_status(entry.id, Status("running", attempts=1))

    def told():
        return [row.status for row in read_rows(sweep.folder.path)[1]]

    assert told() == ["running", "running", "waiting"]
    sweep.folder.release()  # as the kill does
    with filelock.FileLock(trial_path(sweep, 1, ".lock")):  # its worker still saves
        assert told() == ["stopped", "running", "waiting"]
        # Another command for the third trial alone does not leave a file that says running.
        engine = Engine(sweep.folder, lambda entry: Status("done", attempts=1))
        monkeypatch.setattr(driver, "_engine", lambda *given: engine)
        driver.run(sweep, sweep.plan.trials[2:], None, Options(), Console(file=io.StringIO()))
    statuses = {
        path.parent.name: json.loads(path.read_text())["status"]
        for path in sweep.folder.path.glob("trials/*/status.json")
    }
    assert (statuses[first], statuses[second]) == ("stopped", "running")
    assert told()[:2] == ["stopped", "stopped"]


@pytest.mark.parametrize("content", ["{}", "", "[]", '{"base": "other"}', "\udcff", "{" * 100_000])
def test_a_damaged_sweep_file_is_written_anew(sweep, content):
    finish(sweep, 0)
    sweep.folder.release()
    path = sweep.folder.path / "sweep.json"
    path.write_bytes(content.encode(errors="surrogateescape"))
    with pytest.raises(SweepFolderError, match="start the sweep again, which writes it anew"):
        read_rows(sweep.folder.path)
    again = SweepFolder(sweep.folder.path)
    again.claim(sweep.plan)
    again.declare(sweep.plan, sweep.entries)
    again.release()
    assert [row.status for row in read_rows(sweep.folder.path)[1]] == ["done", "waiting", "waiting"]
    assert path.with_name("sweep.json.damaged").read_bytes() == content.encode(errors="surrogateescape")
    assert "it is written anew, and kept as sweep.json.damaged" in again.warnings[0]


def test_a_missing_sweep_file_is_written_anew(sweep):
    finish(sweep, 0)
    sweep.folder.release()
    (sweep.folder.path / "sweep.json").unlink()
    with pytest.raises(SweepFolderError, match=r"has no sweep\.json; start the sweep again, which writes it anew"):
        read_rows(sweep.folder.path)
    again = SweepFolder(sweep.folder.path)
    again.claim(sweep.plan)
    again.declare(sweep.plan, sweep.entries)
    again.release()
    assert [row.status for row in read_rows(sweep.folder.path)[1]] == ["done", "waiting", "waiting"]


def test_another_sweep_and_other_files_are_refused(sweep, write_experiment, tmp_path):
    sweep.folder.release()
    other = plan.read(write_experiment("repeat_seeds(3)"), {"train.epochs": 7})
    with pytest.raises(RunFolderError, match="holds a sweep whose trials share other values"):
        SweepFolder(sweep.folder.path).claim(other)
    (tmp_path / "mine" / "trials").mkdir(parents=True)
    (tmp_path / "mine" / "thesis.tex").touch()
    with pytest.raises(RunFolderError, match=r"is not a sweep's folder; it holds thesis\.tex"):
        SweepFolder(tmp_path / "mine").claim(other)


def test_a_sweep_file_that_cannot_be_read_is_refused(sweep):
    sweep.folder.release()
    (sweep.folder.path / "sweep.json").unlink()
    (sweep.folder.path / "sweep.json").mkdir()
    with pytest.raises(RunFolderError, match=r"sweep\.json is a folder, expected a file"):
        SweepFolder(sweep.folder.path).claim(sweep.plan)


def test_how_a_finished_trial_was_run_is_in_its_provenance(sweep):
    finish(sweep, 0)
    name, last = sweep.entries[0].id, Status("done", attempts=2, seconds=12.5, host="bench", cores=2)
    sweep.folder.write_status(name, Status("running", attempts=2))
    assert json.loads(trial_path(sweep, 0, "status.json").read_text())["status"] == "running"
    sweep.folder.write_status(name, last)
    assert not trial_path(sweep, 0, "status.json").exists()
    assert sweep.folder.status(name) == last
    attempt = read_rows(sweep.folder.path)[1][0].attempt
    assert (attempt.host, attempt.attempts) == ("bench", 2)
    before = sweep.folder.trial(name).provenance()
    trial_path(sweep, 0, "result.json").unlink()
    assert seen(sweep)[0] == (
        "failed",
        "damaged",
        f"trials/{name}/provenance.json says done, but there is no result.json",
    )
    content = json.loads(trial_path(sweep, 0, "provenance.json").read_text())
    content["attempt"]["attempts"] = "many"
    write_json(trial_path(sweep, 0, "provenance.json"), content)
    assert "provenance.json is damaged: attempts" in seen(sweep)[0][2]
    assert before.packages == PACKAGES


def test_a_finished_trial_of_an_older_version_has_a_status_file(sweep):
    finish(sweep, 0)
    write_json(trial_path(sweep, 0, "status.json"), {"status": "done", "attempts": 3, "host": "old"})
    status = sweep.folder.status(sweep.entries[0].id)
    assert (status.status, status.attempts, status.host) == ("done", 3, "old")


def test_a_trial_that_has_not_begun_can_be_marked(sweep):
    """As one that a cluster has not started when the sweep is stopped."""
    sweep.folder.write_status(sweep.entries[0].id, Status("stopped", message="did not save"))
    assert seen(sweep)[0] == ("stopped", None, "did not save")
