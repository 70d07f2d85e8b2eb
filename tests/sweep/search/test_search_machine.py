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


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    """An experiment file, and all that its search finds in one process."""
    folder = tmp_path_factory.mktemp("reference")
    file = write(folder, HALVED)
    searched(file, folder / "whole")
    return file, state(folder / "whole")


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("one", {"jobs": 1}),
        ("two", {"jobs": 2}),
        ("two killed", {"jobs": 2}),
        ("together", {"jobs": 2, "vectorize": "seeds"}),
    ],
)
def test_whatever_trains_the_trials(tmp_path, reference, name, options):
    file, expected = reference
    planted = tmp_path / name
    planted.mkdir()
    run(file, tmp_path / "search", planted, options)
    assert state(tmp_path / "search") == expected
    assert bool(list(planted.iterdir())) == ("killed" in name), "a trial has been killed"


def test_ray(tmp_path):
    pytest.importorskip("ray")
    file = write(tmp_path, "Search(SPACE, trials=4, sampler='halton', batch=4, stopping=Halving(eta=9), confirm=0)")
    searched(file, tmp_path / "whole")
    (tmp_path / "ray").mkdir()
    run(file, tmp_path / "search", tmp_path / "ray", {"engine": "ray", "jobs": 2})
    assert state(tmp_path / "search") == state(tmp_path / "whole")


def run(file, workdir, planted, options):
    """Runs a search with stand-in workers."""
    environment = confinement.environment({})
    environment["PYTHONPATH"] += f":{TESTS}"
    words = [sys.executable, machine_search.__file__, str(file), str(workdir), str(planted)]
    done = subprocess.run([*words, json.dumps(options)], capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr
