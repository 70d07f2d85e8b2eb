"""How many trials run at a time, and on how many cores, whichever of them are left."""

import io

import pytest
from rich.console import Console

from cnn_jax.config.parsing import parse
from cnn_jax.sweep import driver
from cnn_jax.sweep.engines.worker_process import Workers
from cnn_jax.sweep.feasibility import Examined, Findings
from cnn_jax.sweep.folder import Entry, SweepFolder
from cnn_jax.sweep.options import Options
from cnn_jax.sweep.plan import Plan
from cnn_jax.sweep.space import Sweep
from cnn_jax.sweep.trial import Trial


def opened(folder, count):
    """A sweep over so many seeds, of which one cannot run."""
    trials = tuple(Trial(n, {"seed": n}, {"seed": n}, parse({"seed": n})) for n in range(count + 1))
    known = [Examined("", infeasible="too small" if trial.number == count else None) for trial in trials]
    entries = tuple(Entry(f"trial{trial.number}", trial, each) for trial, each in zip(trials, known, strict=True))
    plan = Plan("seeds", Sweep([trial.overrides for trial in trials]), parse({}), (), trials, 0)
    return driver.OpenSweep(plan, SweepFolder(folder), entries, Findings(tuple(known), "cpu", 1), Workers())


@pytest.mark.parametrize(
    ("trials", "left", "options", "jobs"),
    [
        (8, 8, {}, 4),  # one for each core
        (8, 1, {}, 4),  # the last one has the core that it would have had
        (3, 1, {}, 3),
        (1, 1, {}, 1),  # alone in its sweep, it has all
        (8, 2, {"jobs": 2}, 2),
        (8, 1, {"jobs": 2}, 2),
        (8, 1, {"vectorize": "seeds"}, 1),
    ],
)
def test_cores_are_dealt_among_all_trials(tmp_path, monkeypatch, trials, left, options, jobs):
    asked = {}

    class Recording:
        """Takes the place of the engine, and runs nothing."""

        def __init__(self, folder, data_dir, jobs, limits, devices, workers):
            asked["jobs"] = jobs

        def run(self, groups, report, stopping):
            asked["left"] = sum(map(len, groups))

    monkeypatch.setattr(driver, "LocalEngine", Recording)
    monkeypatch.setattr(driver.confinement, "available_cores", lambda: [0, 1, 2, 3])
    sweep = opened(tmp_path, trials)
    driver.run(sweep, sweep.plan.trials[:left], None, Options(**options), Console(file=io.StringIO()))
    assert asked == {"jobs": jobs, "left": left}
