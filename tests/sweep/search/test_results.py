"""Results of a search are those that the search itself decided, also where search.json is older than its trials."""

import io
import itertools
import json

import pytest
from rich.console import Console

from cnn_jax.run.metrics_log import TEST, read_records
from cnn_jax.sweep.folder import SweepFolder
from cnn_jax.sweep.rows import SweepFolderError, read_rows
from cnn_jax.sweep.search import plan, record
from cnn_jax.sweep.search.driver import Driver
from cnn_jax.sweep.search.results import read_results
from sweep.search.stand_in import StandIn, write

HALVED = "Search(SPACE, trials=18, sampler='halton', batch=9, stopping=Halving(), confirm=2, seeds=3)"
SEARCHES = {
    "halving": HALVED,
    "hyperband": HALVED.replace("batch=9, ", "").replace("Halving()", "Hyperband()"),
    "none": HALVED.replace("Halving()", "None").replace("'accuracy'", "'loss'"),
    "choices": HALVED.replace("SPACE", "RATE | {'train.label_smoothing': choice([0.0, 0.1, 0.2])}"),
}


def searched(tmp_path, search):
    folder = SweepFolder(tmp_path / "search")
    console = Console(file=io.StringIO())
    return Driver(plan.read(write(tmp_path, search), {}), folder, StandIn(folder), console).run()


@pytest.fixture(scope="module")
def halved(tmp_path_factory):
    """The results of a search and its folder, which tests leave as it is."""
    folder = tmp_path_factory.mktemp("halved")
    return searched(folder, HALVED), folder / "search"


def results_of(folder):
    _, rows = read_rows(folder)
    recorded = {
        row.id: [each for each in read_records(folder / "trials" / row.id / "metrics.jsonl") if each.split != TEST]
        for row in rows
    }
    return read_results(folder, rows, recorded)


def rewrite(folder, **changes):
    """Writes search.json with other values."""
    content = json.loads((folder / "search.json").read_text()) | changes
    (folder / "search.json").write_text(json.dumps(content))


def forgotten(points):
    """The points as search.json has them before anything was scored."""
    return [each.to_json() | {"scores": {}, "state": "unfinished"} for each in points]


@pytest.mark.parametrize("search", SEARCHES)
@pytest.mark.parametrize("written", ["now", "before"])
def test_they_are_those_of_the_search(tmp_path, search, written):
    found = searched(tmp_path, SEARCHES[search])
    folder = tmp_path / "search"
    if written == "before":
        rewrite(folder, points=forgotten(found.points), spent=0, confirmed=[])
    results = results_of(folder)
    assert {each.state for each in found.points} >= {"finished", "infeasible" if search != "choices" else "failed"}
    assert [each.state for each in results.points] == [each.state for each in found.points]
    scores = [{int(rung): score for rung, score in each.scores.items()} for each in found.points]
    assert [dict(each.scores) for each in results.points] == scores
    assert results.spent == found.spent
    assert sum(each.spent for each in results.measurements()) == found.spent
    confirmed = [(each.number, each.search_score, each.scores, each.test) for each in found.confirmed]
    assert [
        (each.point.number, each.search_score, each.scores, each.test) for each in results.confirmations
    ] == confirmed
    assert [each.seeds for each in results.confirmations] == [3, 3]
    assert results.best.number == found.confirmed[0].number


def test_a_rung_of_which_a_trial_has_not_ended_is_not_decided(tmp_path):
    found = searched(tmp_path, HALVED)
    folder = tmp_path / "search"
    first = [each for each in found.points if each.batch == 0]
    late = next(each for each in first if each.state == "stopped early")
    (folder / "trials" / late.trial / "metrics.jsonl").unlink()
    status = json.loads((folder / "trials" / late.trial / "status.json").read_text())
    (folder / "trials" / late.trial / "status.json").write_text(json.dumps(status | {"status": "running"}))
    rewrite(folder, points=forgotten(first), confirmed=[])
    results = results_of(folder)
    assert {each.state for each in results.points} == {"unfinished", "infeasible"}
    usable = [each.number for each in first if each.state != "infeasible"]
    assert [(rung.epochs, rung.trained, rung.promoted) for rung in results.rungs] == [(1, tuple(usable), None)]
    assert [each.number for each in results.measurements()] == [n for n in usable if n != late.number]
    assert results.best is None
    assert results.confirmations == ()


def test_what_each_rung_cost(halved):
    found, folder = halved
    results = results_of(folder)
    costs = {1: 1, 3: 2, 9: 6}  # epochs from the rung before
    measured = list(results.measurements())
    assert all(each.spent == costs[each.epochs] for each in measured)
    assert [epochs for epochs, _ in itertools.groupby(each.epochs for each in measured)] == [1, 3, 9, 1, 3, 9]
    assert [each.trained for each in results.rungs if each.epochs == 9] == [
        each.promoted for each in results.rungs if each.epochs == 3
    ]
    assert {each.score for each in measured if each.epochs == 9} == {
        each.scores["9"] for each in found.points if "9" in each.scores
    }


def test_a_trials_seconds_are_spread_over_its_epochs(tmp_path):
    found = searched(tmp_path, HALVED)
    best = found.points[found.confirmed[0].number - 1]
    path = tmp_path / "search" / "trials" / best.trial / "provenance.json"
    made_by = json.loads(path.read_text())
    made_by["attempt"]["seconds"] = 18.0
    path.write_text(json.dumps(made_by))
    measured = list(results_of(tmp_path / "search").measurements())
    assert [each.seconds for each in measured if each.number == best.number] == [2.0, 4.0, 12.0]


def test_scores_that_are_no_finite_numbers(halved, tmp_path):
    content = json.loads((halved[1] / "search.json").read_text())
    content["points"] = content["points"][:9]
    scored = [each for each in content["points"] if each["scores"]]
    scored[0]["scores"]["1"], scored[1]["scores"]["1"] = float("nan"), float("inf")
    (tmp_path / "search.json").write_text(json.dumps(content))
    found = read_results(tmp_path, [], {})
    numbers = [each["number"] for each in scored[2:]]
    assert [each.number for each in found.points if 1 in each.scores] == numbers


def test_a_sweep_has_none(tmp_path):
    assert read_results(tmp_path, [], {}) is None


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda content: content["search"].update(metric="beauty"), "search.metric: got 'beauty'"),
        (lambda content: content["search"].pop("space"), "search.space: Field required"),
        (lambda content: content["search"]["stopping"].update(eta=1), "search.stopping.eta"),
        (lambda content: content["points"][0].update(batch=7), "points: got batch 7, expected 0 to 1"),
        (lambda content: content["points"].pop(0), "points: got other numbers"),
        (lambda content: content["points"][0].update(number="one"), "points.0.number"),
    ],
)
def test_damaged_files_are_told(halved, tmp_path, change, told):
    content = json.loads((halved[1] / "search.json").read_text())
    change(content)
    (tmp_path / "search.json").write_text(json.dumps(content))
    with pytest.raises(SweepFolderError, match="remove the file and start the search again") as caught:
        read_results(tmp_path, [], {})
    assert told in str(caught.value)
    assert record.NAME in str(caught.value)
