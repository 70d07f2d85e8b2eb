"""The page of finished searches against figures worked out by hand."""

import io
import re

import pytest
from rich.console import Console
from sweep.search.made_up import score
from sweep.search.stand_in import StandIn, write

from cnn_jax.sweep.folder import SweepFolder
from cnn_jax.sweep.search import plan
from cnn_jax.sweep.search.driver import Driver
from scripts.search_page import _read, comparison, write_page

HALVED = "Search(RATE, trials=9, sampler='random', batch=9, stopping=Halving(), confirm=1, seeds=3)"


def searched(tmp_path, **changes):
    """The folder of a finished search, whose scores are a function of learning rate, epoch and seed."""
    workdir = tmp_path / "-".join(["search", *map(str, changes.values())])
    folder = SweepFolder(workdir)
    found = plan.read(write(tmp_path, HALVED), {}, changes)
    Driver(found, folder, StandIn(folder), Console(file=io.StringIO())).run()
    return workdir


def test_winners_and_their_differences(tmp_path):
    changes = {"sampler": "halton", "trials": 2, "stopping": None, "batch": 2}
    folders = [searched(tmp_path, seed=0), searched(tmp_path, seed=1)]
    folders += [searched(tmp_path, seed=seed, **changes) for seed in (0, 1)]
    page = write_page(folders, tmp_path / "results")
    assert page == tmp_path / "results" / "searched" / "README.md"
    text = page.read_text()
    command = ".venv/bin/python launch.py search --config=experiments/searched.py"
    halton = "--search.sampler=halton --search.trials=2 --search.stopping=none"
    assert [line for line in text.splitlines() if line.startswith(".venv")] == [
        command,
        f"{command} --search.seed=1",
        f"{command} {halton}",
        f"{command} --search.seed=1 {halton}",
    ]
    rates = [float(rate) for rate in re.findall(r"\d+: learning_rate=([\d.e-]+) \|", text)]
    assert len(rates) == 4
    assert len(set(rates)) == 4

    def mean(rate, seeds):
        config = {"optimizer": {"learning_rate": rate}}
        return 100 * sum(score({**config, "seed": seed}, 9) for seed in seeds) / len(seeds)

    for rate, line in zip(rates, [line for line in text.splitlines() if "learning_rate=" in line], strict=True):
        assert f"| {mean(rate, [0]):.2f} | {mean(rate, [1, 2, 3]):.2f} |" in line
        assert f"| {100 - mean(rate, [1, 2, 3]):.2f} |" in line  # of the test images
    ahead = 0
    for seed in (0, 1):
        difference = mean(rates[seed], [1]) - mean(rates[2 + seed], [1])  # the same for every fresh seed
        shown = f"{difference:+.2f}"
        assert f"| {seed} | {shown} | {shown} to {shown} | " in text
        ahead += difference > 0
    assert f"On the validation images random + halving is ahead of halton in {ahead} of 2 seeds." in text
    shown = {line.split("(")[1][:-1] for line in text.splitlines() if line.startswith("![")}
    assert shown == {file.name for file in page.parent.glob("*.png")} >= {"comparison.png"}


def test_the_best_so_far_by_the_epochs_spent(tmp_path):
    searches = [_read(searched(tmp_path, seed=0)), _read(searched(tmp_path, seed=0, trials=18))]
    lines = comparison(searches).axes[0].get_lines()
    assert [line.get_xdata()[-1] for line in lines] == [21, 42]  # 9 x 1 + 3 x 2 + 1 x 6 epochs a batch
    assert list(lines[1].get_xdata()) == [21, 42]  # each batch trains one point to the end
    for line, search in zip(lines, searches, strict=True):
        best = max(point.scores["9"] for point in search.file.points if "9" in point.scores)
        assert line.get_ydata()[-1] == pytest.approx(100 * best)


def test_a_search_that_has_not_ended(tmp_path):
    workdir = searched(tmp_path, seed=0, confirm=0)
    with pytest.raises(SystemExit, match="holds no finished search with confirmed points; run the search first"):
        write_page([workdir], tmp_path)
