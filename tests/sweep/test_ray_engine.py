"""Tasks that Ray has at a time, with a stand-in for Ray."""

import itertools

import pytest

from cnn_jax.config.parsing import parse
from cnn_jax.sweep.engines.local import Limits
from cnn_jax.sweep.engines.needs import Needs
from cnn_jax.sweep.feasibility import Examined
from cnn_jax.sweep.folder import Entry, SweepFolder
from cnn_jax.sweep.status import Status
from cnn_jax.sweep.trial import Trial

engine_module = pytest.importorskip("cnn_jax.sweep.engines.ray")


class StandIn:
    """Takes the place of the module: a cluster of one node on which the first of all tasks ends at every look."""

    def __init__(self):
        self.numbers, self.groups, self.at_a_time = itertools.count(), {}, []

    def init(self, **given):
        self.given = given

    def shutdown(self):
        """There is nothing to end."""

    def nodes(self):
        return [{"Alive": True, "Resources": {"CPU": 3.0}}, {"Alive": False, "Resources": {"CPU": 64.0}}]

    def remote(self, function=None, *given):
        if callable(function):
            return self  # a task, whose options are these
        number = next(self.numbers)
        self.groups[number] = given[0]
        return number

    def options(self, **given):
        return self

    def wait(self, tasks, num_returns, timeout):
        self.at_a_time.append(len(tasks))
        return tasks[:1], tasks[1:]

    def get(self, task):
        return {entry.id: Status("done") for entry in self.groups[task]}


@pytest.mark.parametrize(
    ("address", "jobs", "most"),
    [("10.0.0.1:6379", None, 6), ("10.0.0.1:6379", 2, 2), (None, 3, 6)],  # 3 cores: as many again wait
)
def test_ray_has_few_tasks_at_a_time(tmp_path, monkeypatch, address, jobs, most):
    ray = StandIn()
    monkeypatch.setattr(engine_module, "ray", ray)
    trials = [Trial(n, {"seed": n}, {"seed": n}, parse({"seed": n})) for n in range(9)]
    entries = [Entry(f"trial{trial.number}", trial, Examined("abc")) for trial in trials]
    engine = engine_module.RayEngine(SweepFolder(tmp_path), None, Limits(), Needs(), address, jobs)
    ended = []
    engine.run([(each,) for each in entries], lambda entry, status: ended.append((entry.id, status.status)), bool)
    assert ended == [(each.id, "done") for each in entries]
    assert ray.at_a_time == [most] * (10 - most) + list(range(most - 1, 0, -1))
    assert ray.given["address"] == (address or "local")
