"""Points that do not fit the data, in the first batch and later."""

import io

import pytest
from rich.console import Console

from cnn_jax.config.parsing import ConfigError, parse
from cnn_jax.sweep.feasibility import Examined
from cnn_jax.sweep.folder import SweepFolder
from cnn_jax.sweep.search import infeasible, plan
from cnn_jax.sweep.search.driver import Driver
from cnn_jax.sweep.trial import Trial
from sweep.search.stand_in import StandIn, write

SEARCH = "Search(SPACE, trials=12, sampler='halton', batch=4, confirm=1, seeds=1)"


class Small(StandIn):
    """A machine whose data have few images."""

    most = 40

    def examine(self, trials):
        sizes = [trial.experiment.train.batch_size for trial in trials]
        return [Examined("abc", 10, 20, fault=f"{n} images are too many" if n > self.most else None) for n in sizes]


def searched(tmp_path, kind):
    folder = SweepFolder(tmp_path / "search")
    machine = kind(folder)
    return Driver(plan.read(write(tmp_path, SEARCH), {}), folder, machine, Console(file=io.StringIO())).run(), machine


def test_a_point_that_does_not_fit_the_data_stays_in_the_table(tmp_path):
    found, machine = searched(tmp_path, Small)
    large = {each.trial for each in found.points if each.point["train.batch_size"] > Small.most}
    assert {each.trial for each in found.points if each.state == "infeasible"} == large
    assert 0 < len(large) < 12
    assert not large & set(machine.trained)


def test_where_no_point_fits_nothing_starts(tmp_path):
    class Tiny(Small):
        most = 0

    with pytest.raises(ConfigError, match=r"trial 1 \(.*\): \d+ images are too many"):
        searched(tmp_path, Tiny)


def test_data_that_cannot_be_had_end_a_search_at_any_batch():
    trials = [Trial(number, {"seed": number}, {"seed": number}, parse({"seed": number})) for number in (13, 14)]
    with pytest.raises(ConfigError, match=r"trial 14 \(seed=14\): no such file"):
        infeasible.check(3, trials, [Examined("abc"), Examined("", fault="no such file")])
    infeasible.check(3, trials, [Examined("abc", fault="too large")] * 2)
