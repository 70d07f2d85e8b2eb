"""Real runs, killed, damaged and stopped: each ends as the run that was left alone."""

import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest
from moments import Moment
from support import forked_launch

from cnn_jax.run.metrics_log import read_records
from cnn_jax.train import restore

ROOT = Path(__file__).parent.parent
# 451 images in batches of 10, 20 epochs: 920 steps in dispatches of 5, a checkpoint after every epoch and
# every 60 ms, so that kills fall into training, saving and evaluation alike.
EXPERIMENT = """
def get_config():
    return {{
        "data": {data!r} | {{"validation_fraction": 0.1}},
        "augment": {{"shift": 1, "flip": True}},
        "model": {{"features": (16, 16), "pooling": ("max", "none"), "dense": (32,), "dropout": 0.2}},
        "train": {{"epochs": 20, "batch_size": 10, "steps_per_dispatch": 5, "ema_decay": 0.9}},
        "checkpoint": {{"every_minutes": 0.001, "select": "best"}},
        "log": {{"every_steps": 20}},
    }}
"""
TIMES = ("seconds", "images_per_second", "performance")
CALLS = 5000  # of functions, which two lines of metrics.jsonl take
LINES = 106  # of metrics.jsonl: 46 windows of 20 steps; training, validation and test of each epoch
RECORDS = {"opened": "/metrics.jsonl", "mode": "a"}


@pytest.fixture(scope="module")
def command(tmp_path_factory, line_data):
    """The words of `launch.py` that train in a folder."""
    file = tmp_path_factory.mktemp("interruptions") / "experiment.py"
    file.write_text(EXPERIMENT.format(data=line_data))
    return ["train", f"--config={file}", "--noreport"]


def start(command, workdir, moment=None, forked=True):
    """Starts the command; a fork has imported everything, and Python itself is started for a moment of that."""
    words = [*command, f"--workdir={workdir}"]
    environment = moment.environment if moment else os.environ
    if forked:
        return forked_launch.launch(*words, environment=environment)
    words = [sys.executable, str(ROOT / "launch.py"), *words]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    return subprocess.Popen(words, cwd=ROOT, env=environment, text=True, **pipes)


def train(command, workdir, moment=None, code=0, forked=True):
    process = start(command, workdir, moment, forked)
    said, _ = process.communicate(timeout=600)
    assert process.returncode == code, said
    return said


def outcome(workdir):
    """All of a run but its times."""

    def timeless(values):
        return {name: value for name, value in values.items() if name not in TIMES}

    run = restore.load(workdir)
    records = [record._replace(values=timeless(record.values)) for record in read_records(run.folder.metrics)]
    parameters = [np.asarray(leaf).tobytes() for leaf in jax.tree.leaves(run.variables)]
    return {"parameters": parameters, "records": records, "result": timeless(run.result.to_json())}


@pytest.fixture(scope="module")
def undisturbed(command, tmp_path_factory):
    """The outcome of a run that nobody touched, and the events of its start."""
    folder = tmp_path_factory.mktemp("undisturbed")
    start = Moment(folder / "start", "launch.py", action="count", until=RECORDS["opened"], mode="a")
    train(command, folder / "run", start, forked=False)
    assert len((folder / "run" / "metrics.jsonl").read_bytes().splitlines()) == LINES
    (events,) = start.counted
    return outcome(folder / "run"), events


@pytest.mark.parametrize("kills", [5, pytest.param(10, marks=pytest.mark.exhaustive)])
def test_kills_at_random_moments(command, undisturbed, tmp_path, kills):
    expected, start = undisturbed
    moments = random.Random(2026)
    for kill in range(kills):
        # Mostly while it trains, further on each time: at some call of a function after some line of metrics.jsonl.
        # The last 16 lines, which are left then, take tens of thousands of calls. Every fourth kill falls into the
        # start.
        while_it_trains = kill % 4 != 3
        if while_it_trains:
            part = 90 // kills
            lines, calls = moments.randrange(part * kill, part * (kill + 1)), moments.randrange(CALLS)
            when = RECORDS | {"lines": lines, "calls": calls}
        else:
            when = {"events": moments.randrange(1, start)}
        moment = Moment(tmp_path / str(kill), "launch.py", action="SIGKILL", **when)
        train(command, tmp_path / "run", moment, -9, forked=while_it_trains)
    train(command, tmp_path / "run")
    assert outcome(tmp_path / "run") == expected


def test_a_damaged_newest_checkpoint_is_set_aside(command, undisturbed, tmp_path):
    kill, run = Moment(tmp_path / "kill", "launch.py", action="SIGKILL", lines=20, **RECORDS), tmp_path / "run"
    train(command, run, kill, -9)
    checkpoints = sorted((entry for entry in (run / "checkpoints").iterdir() if entry.name.isdigit()), key=step_of)
    assert len(checkpoints) >= 2
    largest = max((file for file in checkpoints[-1].rglob("*") if file.is_file()), key=lambda file: file.stat().st_size)
    content = bytearray(largest.read_bytes())
    content[len(content) // 2] ^= 0xFF
    largest.write_bytes(content)
    said = train(command, run)
    assert "damaged" in said
    assert f"resuming at step {step_of(checkpoints[-2])}" in said
    assert (run / "damaged_checkpoints").is_dir()
    assert outcome(run) == undisturbed[0]


def step_of(path):
    return int(path.name)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_saves_and_leaves_with_75(command, undisturbed, tmp_path, number):
    moment, run = Moment(tmp_path / "moment", "launch.py", lines=8, **RECORDS), tmp_path / "run"
    process = start(command, run, moment)
    os.kill(moment.wait(process), number)
    moment.release()
    said, _ = process.communicate(timeout=600)
    assert process.returncode == 75, said
    assert f"{number.name}: saved at step" in said
    stopped_at = int(said.rpartition("saved at step ")[2].partition(";")[0])
    assert not (run / "result.json").exists()
    assert f"resuming at step {stopped_at}" in train(command, run)
    assert outcome(run) == undisturbed[0]
