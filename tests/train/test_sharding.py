"""Several devices: the same run as on one, up to the order of float32 sums."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
TRAIN = """
import io, json, sys
from pathlib import Path
import jax
from rich.console import Console
from cnn_jax.config_parse import ConfigError, parse
from cnn_jax.train.loop import train_and_evaluate
experiment, workdir = parse(json.loads(sys.argv[1])), Path(sys.argv[2])
try:
    result = train_and_evaluate(experiment, workdir, console=Console(file=io.StringIO()))
except ConfigError as error:
    result = str(error)
print(json.dumps([jax.device_count(), result]))
"""


def train(experiment, workdir, devices):
    environment = os.environ | {"XLA_FLAGS": f"--xla_force_host_platform_device_count={devices}"}
    words = [sys.executable, "-c", TRAIN, json.dumps(experiment), str(workdir)]
    done = subprocess.run(words, cwd=ROOT, env=environment, capture_output=True, text=True, check=True, timeout=120)
    count, result = json.loads(done.stdout.splitlines()[-1])
    assert count == devices
    return result


def test_four_devices_train_as_one(line_data, tmp_path):
    # 500 images in batches of 32: the last batch has 20, so that devices hold unequal parts of it
    experiment = {
        "data": line_data,
        "model": {"features": (8,), "pooling": "max", "dense": ()},
        "augment": {"shift": 1, "erasing": 0.5, "mixup": 0.2, "cutmix": 1.0},
        "train": {"epochs": 2, "batch_size": 32, "eval_batch_size": 50},
        "log": {"tensorboard": False},
    }
    one, four = (train(experiment, tmp_path / str(devices), devices) for devices in (1, 4))
    assert four["test_accuracy"] == pytest.approx(one["test_accuracy"], abs=1 / 150 + 1e-9)  # one image at most
    # sums over images are taken in another order: float32 rounding, grown over 32 steps of Adam
    assert four["test_loss"] == pytest.approx(one["test_loss"], rel=1e-4)


def test_a_batch_that_devices_cannot_share_is_refused(line_data, tmp_path):
    refusal = train({"data": line_data, "train": {"batch_size": 30}}, tmp_path, 4)
    assert refusal == "config.train.batch_size=30 does not divide over 4 devices; the nearest are 28 or 32"
