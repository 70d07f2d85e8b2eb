"""One small search with real workers: two at a time, on Ray, and killed ten times; `make test-ray` runs it."""

import json
import os
import random
import signal
import subprocess
import sys

import pytest
from moments import Moment

from cnn_jax.sweep.rows import read_rows
from cnn_jax.sweep.search import record
from sweep.test_sweep import ROOT, TRIAL, WORKER, figures

EXPERIMENT = """
from cnn_jax.sweep import Halving, Search, choice, log_uniform


def get_config():
    return {{
        "data": {data!r},
        "model": {{"features": (4,), "pooling": "max", "dense": (), "lowering": "xla"}},
        "train": {{"epochs": 4, "batch_size": 50, "eval_batch_size": 150, "steps_per_dispatch": 5}},
        "log": {{"tensorboard": False}},
    }}


def get_search():
    space = {{"optimizer.learning_rate": log_uniform(1e-4, 1e-1), "model.padding": choice(["VALID", "SAME"])}}
    return Search(space, trials=8, sampler="tpe", batch=4, stopping=Halving(eta=2), confirm=1, seeds=2)
"""


def command(*words):
    return [sys.executable, str(ROOT / "launch.py"), "search", *map(str, words), "--noreport"]


def found(workdir):
    """All that a search has found but for times: points, promotions, scores, confirmations, every measurement."""
    rows = [(row.id, row.status, dict(row.point), row.result and row.result.test) for row in read_rows(workdir)[1]]
    return record.read(workdir), rows, figures(workdir)


@pytest.fixture(scope="module")
def reference(tmp_path_factory, line_data):
    """The experiment file, and what its search finds one trial at a time."""
    folder = tmp_path_factory.mktemp("reference")
    file = folder / "experiment.py"
    file.write_text(EXPERIMENT.format(data=line_data | {"validation_fraction": 0.2}))
    subprocess.run(command(f"--config={file}", f"--workdir={folder / 'search'}", "--jobs=1"), check=True)
    searched, rows, _ = whole = found(folder / "search")
    assert {each.state for each in searched.points} == {"finished", "stopped early"}
    assert len(rows) == 8 + 2
    for path in (folder / "search" / "trials").iterdir():
        assert len([file for file in path.rglob("*") if file.is_file()]) <= 8
    return file, whole


@pytest.mark.parametrize("words", [("--jobs=2",), ("--jobs=2", "--engine=ray")])
def test_whatever_runs_the_trials(tmp_path, reference, words):
    file, expected = reference
    subprocess.run(command(f"--config={file}", f"--workdir={tmp_path / 'search'}", *words), check=True)
    assert found(tmp_path / "search") == expected


def test_ten_kills_of_driver_and_worker(tmp_path, reference):
    file, expected = reference
    words = command(f"--config={file}", f"--workdir={tmp_path / 'search'}", "--jobs=2")
    rng = random.Random(0)
    for number in range(10):
        # While a worker trains the first or second trial of this life, at some call of a function after some record.
        when = TRIAL | {"nth": rng.randrange(1, 3), "lines": rng.randrange(4), "calls": rng.randrange(500)}
        moment = Moment(tmp_path / str(number), WORKER, **when)
        with subprocess.Popen(words, stdout=subprocess.DEVNULL, env=moment.environment) as driver:
            worker = moment.wait(driver)
            for victim in (worker, driver.pid) if number % 2 else (driver.pid, worker):
                os.kill(victim, signal.SIGKILL)
            moment.release()
            assert driver.wait(timeout=600) == -signal.SIGKILL
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert found(tmp_path / "search") == expected
    before = json.dumps(found(tmp_path / "search")[2])
    subprocess.run(words, check=True)
    assert json.dumps(found(tmp_path / "search")[2]) == before
