"""Real runs, killed, damaged and stopped: each ends as the run that was left alone."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import jax
import numpy as np
import pytest

from cnn_jax.run.metrics_log import read_records
from cnn_jax.train import restore

ROOT = Path(__file__).parent.parent
# 450 images in batches of 10, 40 epochs: 1800 steps in dispatches of 5, a checkpoint after every epoch and
# every 60 ms, so that kills fall into training, saving and evaluation alike.
EXPERIMENT = """
def get_config():
    return {{
        "data": {data!r} | {{"validation_fraction": 0.1}},
        "augment": {{"shift": 1, "flip": True}},
        "model": {{"features": (16, 16), "pooling": ("max", "none"), "dense": (32,), "dropout": 0.2}},
        "train": {{"epochs": 40, "batch_size": 10, "steps_per_dispatch": 5, "ema_decay": 0.9}},
        "checkpoint": {{"every_minutes": 0.001, "select": "best"}},
        "log": {{"every_steps": 20}},
    }}
"""
TIMES = ("seconds", "images_per_second", "performance")


@pytest.fixture(scope="module")
def command(tmp_path_factory, line_data):
    """The words that train in a folder."""
    file = tmp_path_factory.mktemp("interruptions") / "experiment.py"
    file.write_text(EXPERIMENT.format(data=line_data))
    return [sys.executable, str(ROOT / "launch.py"), "train", f"--config={file}", "--noreport"]


def start(command, workdir):
    return subprocess.Popen(
        [*command, f"--workdir={workdir}"], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def train(command, workdir):
    process = start(command, workdir)
    said, _ = process.communicate(timeout=120)
    assert process.returncode == 0, said
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
    """The outcome of a run that nobody touched, and how long it trained."""
    workdir = tmp_path_factory.mktemp("undisturbed") / "run"
    train(command, workdir)
    return outcome(workdir), json.loads((workdir / "result.json").read_text())["seconds"]["training"]


def wait_for(condition, process):
    """Waits until something has happened in a run's folder, or the run is over."""
    while process.poll() is None and not condition():
        time.sleep(0.01)


def steps_recorded(workdir):
    path = workdir / "metrics.jsonl"
    return len(path.read_bytes().splitlines()) if path.exists() else 0


def test_ten_kills_at_random_moments(command, undisturbed, tmp_path):
    expected, seconds = undisturbed
    moments = random.Random(2026)
    killed = 0
    for _ in range(100):
        before = steps_recorded(tmp_path)
        process = start(command, tmp_path)
        # Mostly while it trains: the clock starts when the run has recorded something new. Every fourth kill
        # falls anywhere into the start.
        if killed % 4 != 3:
            wait_for(lambda before=before: steps_recorded(tmp_path) > before, process)
        time.sleep(moments.uniform(0, 0.12 * seconds))
        process.kill()
        process.communicate(timeout=60)
        killed += process.returncode == -signal.SIGKILL
        if killed == 10 or (tmp_path / "result.json").exists():
            break
    assert killed == 10, "the run ended before it was killed ten times"
    train(command, tmp_path)
    assert outcome(tmp_path) == expected


def test_a_damaged_newest_checkpoint_is_set_aside(command, undisturbed, tmp_path):
    process = start(command, tmp_path)
    wait_for(lambda: steps_recorded(tmp_path) >= 20, process)
    process.kill()
    process.communicate(timeout=60)
    checkpoints = sorted((entry for entry in (tmp_path / "checkpoints").iterdir() if entry.name.isdigit()), key=step_of)
    assert len(checkpoints) >= 2
    largest = max((file for file in checkpoints[-1].rglob("*") if file.is_file()), key=lambda file: file.stat().st_size)
    content = bytearray(largest.read_bytes())
    content[len(content) // 2] ^= 0xFF
    largest.write_bytes(content)
    said = train(command, tmp_path)
    assert "damaged" in said
    assert f"resuming at step {step_of(checkpoints[-2])}" in said
    assert (tmp_path / "damaged_checkpoints").is_dir()
    assert outcome(tmp_path) == undisturbed[0]


def step_of(path):
    return int(path.name)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_saves_and_leaves_with_75(command, undisturbed, tmp_path, number):
    process = start(command, tmp_path)
    wait_for(lambda: steps_recorded(tmp_path) >= 8, process)
    os.kill(process.pid, number)
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 75, said
    assert f"{number.name}: saved at step" in said
    stopped_at = int(said.rpartition("saved at step ")[2].partition(";")[0])
    assert not (tmp_path / "result.json").exists()
    assert f"resuming at step {stopped_at}" in train(command, tmp_path)
    assert outcome(tmp_path) == undisturbed[0]
