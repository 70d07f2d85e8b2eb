"""A finished search of several tests, which must leave its folder as it is."""

import io

import pytest
from rich.console import Console
from sweep.search.stand_in import StandIn, write

from cnn_jax.sweep.folder import SweepFolder
from cnn_jax.sweep.search import plan
from cnn_jax.sweep.search.driver import Driver

HALVED = "Search(SPACE, trials=54, sampler='halton', batch=27, stopping=Halving(), confirm=2, seeds=3)"


@pytest.fixture(scope="session")
def finished_search(tmp_path_factory):
    """Content of search.json of a finished search, and its folder."""
    folder = tmp_path_factory.mktemp("finished")
    made = SweepFolder(folder / "search")
    found = Driver(plan.read(write(folder, HALVED), {}), made, StandIn(made), Console(file=io.StringIO())).run()
    return found, folder / "search"
