"""A search is a pure function: whatever the order, wherever it is killed."""

import collections
import io
import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

from cnn_jax.run.errors import RunFolderError
from cnn_jax.sweep import plan as sweep_plan
from cnn_jax.sweep import table
from cnn_jax.sweep.engines import confinement
from cnn_jax.sweep.feasibility import Examined
from cnn_jax.sweep.folder import SweepFolder
from cnn_jax.sweep.rows import read_rows
from cnn_jax.sweep.search import plan, record
from cnn_jax.sweep.search.driver import Driver, SearchBlocked
from sweep.search import killed_search
from sweep.search.made_up import score
from sweep.search.stand_in import StandIn, write

TESTS = Path(__file__).parents[2]
HALVED = "Search(SPACE, trials=18, sampler='halton', batch=9, stopping=Halving(), confirm=2, seeds=3)"
ADAPTIVE = "Search(SPACE, trials=27, sampler='tpe', batch=9, stopping=Halving(), confirm=2, seeds=3)"


def searched(file, workdir, order=0):
    folder = SweepFolder(workdir)
    machine = StandIn(folder, order)
    found = Driver(plan.read(file, {}), folder, machine, Console(file=io.StringIO())).run()
    return found, machine


def state(workdir):
    """All that a search has found: points, scores, confirmations, the table's rows, all measurements."""
    header, rows = read_rows(workdir)
    measured = {path.parent.name: path.read_text() for path in workdir.glob("trials/*/metrics.jsonl")}
    return record.read(workdir), header, [(row.id, row.status, dict(row.point)) for row in rows], measured


def test_halving_promotes_the_best(tmp_path):
    found, machine = searched(write(tmp_path, HALVED), tmp_path / "search")
    assert (found.epochs, found.budget) == (9, 2 * (9 * 1 + 3 * 2 + 1 * 6))  # rungs of 1, 3 and 9 epochs
    assert found.spent <= found.budget
    for batch in (0, 1):
        members = [each for each in found.points if each.batch == batch]
        assert len(members) == 9
        usable = [each for each in members if each.state != "infeasible"]
        assert {each.state for each in members} <= {"finished", "stopped early", "failed", "infeasible"}
        first = sorted(usable, key=lambda each: -each.scores["1"])
        promoted = [each for each in usable if "3" in each.scores or each.state == "failed"]
        assert {each.number for each in promoted} == {each.number for each in first[:3]}
        alive = sorted((each for each in promoted if "3" in each.scores), key=lambda each: -each.scores["3"])
        assert [each.number for each in members if each.state == "finished"] == [each.number for each in alive[:1]]
    counts = collections.Counter(machine.trained)
    assert max(counts.values()) == 3, "a finished trial has trained three times, from rung to rung"


def test_an_infeasible_point_is_in_the_table_and_not_trained(tmp_path):
    found, machine = searched(write(tmp_path, HALVED), tmp_path / "search")
    infeasible = [each for each in found.points if each.state == "infeasible"]
    assert [each.number for each in infeasible] == [
        each.number for each in found.points if each.point["train.batch_size"] < 16
    ]
    assert infeasible
    assert not {each.trial for each in infeasible} & set(machine.trained)
    statuses = {row.id: row.status for row in read_rows(tmp_path / "search")[1]}
    assert {statuses[each.trial] for each in infeasible} == {"infeasible"}


def test_a_network_above_the_budget_is_infeasible(tmp_path):
    class Costly(StandIn):
        def examine(self, trials):
            return [Examined("abc", 10, 1000 * trial.experiment.train.batch_size) for trial in trials]

    file = write(tmp_path, HALVED.replace("confirm=2", "confirm=2, max_multiply_adds=30_000"))
    folder = SweepFolder(tmp_path / "search")
    machine = Costly(folder)
    found = Driver(plan.read(file, {}), folder, machine, Console(file=io.StringIO())).run()
    costly = {each.trial for each in found.points if each.point["train.batch_size"] > 30}
    assert {each.trial for each in found.points if each.state == "infeasible"} == costly
    assert 0 < len(costly) < 18
    assert not costly & set(machine.trained)
    told = {row.id: row.trial.infeasible for row in read_rows(folder.path)[1]}
    size = found.points[0].point["train.batch_size"]
    assert size > 30
    assert told[found.points[0].trial] == f"{size},000 multiply-adds an image, and the search allows 30,000"


def test_a_search_without_a_point_that_can_be_trained_has_failed(tmp_path):
    class Without(StandIn):
        def examine(self, trials):
            return [Examined("abc", infeasible="the maps collapse") for _ in trials]

    folder = SweepFolder(tmp_path / "search")
    driver = Driver(plan.read(write(tmp_path, HALVED), {}), folder, Without(folder), Console(file=io.StringIO()))
    with pytest.raises(
        SearchBlocked, match=r"none of 18 points was trained to the end; .*; point 1 \(.*\): the maps coll"
    ):
        driver.run()
    assert {each.state for each in record.read(folder.path).points} == {"infeasible"}


def test_a_function_of_the_file_names_the_points(tmp_path):
    search = "Search(WIDTH, trials=4, batch=2, sampler='halton', confirm=1, seeds=2, overrides={})"
    function = "lambda point: {'model.features': (point['width'], 4, 2 * point['width'])}"
    found, _ = searched(write(tmp_path, search.format(function)), tmp_path / "search")
    header, rows = read_rows(tmp_path / "search")
    assert header.fields == ("width",)
    points = {row.id: row.point["width"] for row in rows}
    for each in found.points:
        config = json.loads((tmp_path / "search" / "trials" / each.trial / "config.json").read_text())
        assert config["model"]["features"] == [points[each.trial], 4, 2 * points[each.trial]]
    with pytest.raises(RunFolderError, match=r"point 1 is now .*: the experiment file's functions, data"):
        searched(write(tmp_path, search.format(function.replace("2 *", "3 *"))), tmp_path / "search")


def test_winners_are_confirmed_on_fresh_seeds(tmp_path):
    found, _ = searched(write(tmp_path, HALVED), tmp_path / "search")
    finished = sorted((each for each in found.points if each.state == "finished"), key=lambda each: -each.scores["9"])
    assert [each.number for each in found.confirmed] == [each.number for each in finished[:2]]
    for each in found.confirmed:
        rate = found.points[each.number - 1].point["optimizer.learning_rate"]
        configs = [{"seed": seed, "optimizer": {"learning_rate": rate}} for seed in (0, 1, 2, 3)]
        expected = [score(config, 9) for config in configs]
        assert each.search_score == expected[0]
        assert each.scores == tuple(expected[1:])
        assert each.test == tuple(1 - value for value in expected[1:])


@pytest.mark.parametrize("search", [HALVED, ADAPTIVE, HALVED.replace("Halving(), ", "Hyperband(), ")])
def test_the_order_in_which_trials_end_changes_nothing(tmp_path, search):
    if "tpe" in search:
        pytest.importorskip("optuna")
    search = search.replace("batch=9, ", "") if "Hyperband" in search else search
    file = write(tmp_path, search)
    states = []
    for order in range(4):
        searched(file, tmp_path / str(order), order)
        states.append(state(tmp_path / str(order)))
    assert any(each.state == "failed" for each in states[0][0].points)
    assert all(each == states[0] for each in states[1:])


@pytest.mark.parametrize("search", [HALVED, ADAPTIVE])
def test_ten_kills_change_nothing(tmp_path, search):
    if "tpe" in search:
        pytest.importorskip("optuna")
    file = write(tmp_path, search)
    searched(file, tmp_path / "whole")
    environment = confinement.environment({})
    environment["PYTHONPATH"] += f":{TESTS}"
    words = [sys.executable, killed_search.__file__, str(file), str(tmp_path / "killed")]
    done = subprocess.run(words, capture_output=True, text=True, check=True, env=environment)
    assert json.loads(done.stdout) == [-signal.SIGKILL] * 10 + [0], done.stderr
    assert state(tmp_path / "killed") == state(tmp_path / "whole")
    again, machine = searched(file, tmp_path / "killed")
    assert not machine.trained
    assert again == record.read(tmp_path / "whole")


def test_another_search_in_the_folder_is_refused(tmp_path):
    searched(write(tmp_path, HALVED), tmp_path / "search")
    for other, told in (("batch=6", "batch: 9 -> 6"), ("batch=9, seed=1", "seed: 0 -> 1")):
        with pytest.raises(RunFolderError, match=told):
            searched(write(tmp_path, HALVED.replace("batch=9", other)), tmp_path / "search")


def test_a_search_that_was_stopped_at_once_goes_on(tmp_path):
    file, folder = write(tmp_path, HALVED), SweepFolder(tmp_path / "search")

    class Killed(StandIn):
        def run(self, entries, report, stopping):
            table.write_table(folder.path)  # as the process does that writes the report
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Driver(plan.read(file, {}), folder, Killed(folder), Console(file=io.StringIO())).run()
    found, _ = searched(file, tmp_path / "search")
    searched(file, tmp_path / "whole")
    assert found == record.read(tmp_path / "whole")


def test_a_damaged_or_lost_file_of_the_search_is_written_anew(tmp_path):
    file, workdir = write(tmp_path, HALVED), tmp_path / "search"
    found, _ = searched(file, workdir)
    (workdir / "search.json").write_text("{")
    (workdir / "table.csv").write_text("")
    again, machine = searched(file, workdir)
    assert (again, machine.trained) == (found, [])
    assert (workdir / "search.json.damaged").read_text() == "{"
    (workdir / "search.json").unlink()
    with pytest.raises(RunFolderError, match=r"holds a sweep, .* lost its search.json, remove sweep.json"):
        searched(file, workdir)
    (workdir / "sweep.json").unlink()
    again, machine = searched(file, workdir)
    assert (again, machine.trained) == (found, [])


def test_a_sweep_in_the_folder_of_a_search_is_refused(tmp_path):
    searched(write(tmp_path, HALVED), tmp_path / "search")
    sweep = tmp_path / "searched.py"
    sweep.write_text(sweep.read_text() + "\ndef get_sweep():\n    return [{'seed': 1}]\n")
    with pytest.raises(RunFolderError, match="holds a search, expected a sweep or an empty folder"):
        SweepFolder(tmp_path / "search").claim(sweep_plan.read(sweep, {}))


def test_other_versions_are_refused(tmp_path):
    file = write(tmp_path, HALVED)
    searched(file, tmp_path / "search")
    path = tmp_path / "search" / "search.json"
    content = json.loads(path.read_text())
    content["versions"]["scipy"] = "1.0"
    path.write_text(json.dumps(content))
    with pytest.raises(RunFolderError, match=r"begun with scipy 1.0.*pip install scipy==1.0"):
        searched(file, tmp_path / "search")


def test_results_that_were_changed_are_noticed(tmp_path):
    pytest.importorskip("optuna")
    file = write(tmp_path, ADAPTIVE)
    found, _ = searched(file, tmp_path / "search")
    best = max((each for each in found.points if each.batch == 0 and each.scores), key=lambda each: each.scores["1"])
    path = tmp_path / "search" / "trials" / best.trial / "metrics.jsonl"
    path.write_text(path.read_text().replace('"accuracy": 0.', '"accuracy": 0.0'))
    with pytest.raises(RunFolderError, match=r"is now .* and was another one before"):
        searched(file, tmp_path / "search")


def test_a_failure_of_the_machine_decides_nothing(tmp_path):
    file, folder = write(tmp_path, HALVED), SweepFolder(tmp_path / "search")

    class Crashing(StandIn):
        def run(self, entries, report, stopping):
            super().run(entries, report, stopping)
            path = self.folder.trial(entries[0].id).path
            (path / "metrics.jsonl").unlink()
            status = self.folder.status(entries[0].id)
            report(entries[0], type(status)("failed", fault="crash", message="the disk is full", attempts=1))

    driver = Driver(plan.read(file, {}), folder, Crashing(folder), Console(file=io.StringIO()))
    with pytest.raises(SearchBlocked, match=r"crash: the disk is full.*the same command tries again"):
        driver.run()
    found, _ = searched(file, tmp_path / "search")
    whole, _ = searched(file, tmp_path / "whole")
    assert found == whole


def test_files_of_all_points_are_written_for_every_fiftieth_new_one(tmp_path, monkeypatch):
    file = write(tmp_path, "Search(RATE, trials=110, sampler='halton', batch=1, confirm=0)")
    sizes, written = [], record.write

    def counted(path, content):
        sizes.append(len(content.points))
        written(path, content)

    monkeypatch.setattr(record, "write", counted)

    class Interrupted(StandIn):
        def run(self, entries, report, stopping):
            if len(self.trained) == 101:
                raise KeyboardInterrupt
            super().run(entries, report, stopping)

    folder = SweepFolder(tmp_path / "search")
    with pytest.raises(KeyboardInterrupt):
        Driver(plan.read(file, {}), folder, Interrupted(folder), Console(file=io.StringIO())).run()
    assert sorted(set(sizes)) == [*range(51), *range(52, 102, 2), 102]
    sizes.clear()
    found, machine = searched(file, tmp_path / "search")
    assert len(machine.trained) == 9
    assert sorted(set(sizes)) == [103, 106, 109, 110], "what was known is not taken back"
    assert len(found.points) == len(read_rows(folder.path)[1]) == 110
    assert {each.state for each in found.points} == {"finished"}
