"""A search with worker processes: one or two at a time, on Ray, and killed, always with the same results."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from cnn_jax.sweep.engines import confinement
from sweep.search import machine_search
from sweep.search.stand_in import write
from sweep.search.test_search_driver import HALVED, searched, state

TESTS = Path(__file__).parents[2]


MACHINES = {
    "one": {"jobs": 1},
    "two": {"jobs": 2},
    "two killed": {"jobs": 2},
    "together": {"jobs": 2, "vectorize": "seeds"},
}


@pytest.fixture(scope="module")
def searches(tmp_path_factory):
    """The folder of each machine's search, what was planted beside it, and all that the search finds in one process."""
    folder = tmp_path_factory.mktemp("searches")
    file = write(folder, HALVED)
    run(file, [(folder / "search" / name, folder / name, options) for name, options in MACHINES.items()])
    searched(file, folder / "whole")
    return {name: (folder / "search" / name, folder / name) for name in MACHINES}, state(folder / "whole")


@pytest.mark.parametrize("name", MACHINES)
def test_whatever_trains_the_trials(searches, name):
    folders, expected = searches
    search, planted = folders[name]
    assert state(search) == expected
    assert bool(list(planted.iterdir())) == ("killed" in name), "a trial has been killed"


def test_ray(tmp_path):
    pytest.importorskip("ray")
    file = write(tmp_path, "Search(SPACE, trials=4, sampler='halton', batch=4, stopping=Halving(eta=9), confirm=0)")
    searched(file, tmp_path / "whole")
    run(file, [(tmp_path / "search", tmp_path / "ray", {"engine": "ray", "jobs": 2})])
    assert state(tmp_path / "search") == state(tmp_path / "whole")


def run(file, searches):
    """Runs searches with stand-in workers, each in a folder, with a folder for what is planted and with options."""
    for _, planted, _ in searches:
        planted.mkdir()
    environment = confinement.environment({})
    environment["PYTHONPATH"] += f":{TESTS}"
    words, asked = [sys.executable, machine_search.__file__, str(file)], json.dumps(searches, default=str)
    done = subprocess.run(words, input=asked, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr
