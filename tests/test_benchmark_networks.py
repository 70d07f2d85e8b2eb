"""Operations that `make bench` counts for an image, against published counts; and that cnn_jax can take its turn."""

import json
import math
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from support import quick_programs

from benchmarks.networks import NETWORKS

ROOT = Path(__file__).parents[1]


def test_the_cost_of_the_lectures_network_by_hand():
    # maps of 26x26, 11x11 and 3x3; the image's own gradient is left out
    first, others = 26**2 * 9 * 32, 11**2 * 9 * 32 * 64 + 3**2 * 9 * 64 * 64 + 576 * 64 + 64 * 10
    assert NETWORKS["cnn"].training_flop() == 2 * (2 * first + 3 * others)


@pytest.mark.parametrize(
    ("name", "forward", "first"),
    [
        # giga multiply-adds that torchvision publishes with its weights; of the first convolution by hand
        ("alexnet", 0.714, 55**2 * 11**2 * 3 * 64),
        ("googlenet", 1.498, 112**2 * 7**2 * 3 * 64),
        ("resnet50", 4.089, 112**2 * 7**2 * 3 * 64),
        ("vgg16", 15.470, 224**2 * 3**2 * 3 * 64),
        ("convnext_tiny", 4.456, 56**2 * 4**2 * 3 * 96),
    ],
)
def test_the_cost_of_torchvisions_networks(name, forward, first):
    flop = NETWORKS[name].training_flop()
    assert (flop / 2 + first) / 3 == pytest.approx(forward * 1e9, abs=0.5e6)  # three published decimals


def test_cnn_jax_takes_its_turn_by_steps_alone(tmp_path):
    images, labels = np.zeros((4, 28, 28, 1), np.uint8), np.zeros(4, np.int32)
    np.savez(tmp_path / "data.npz", train_images=images, train_labels=labels)
    words = [sys.executable, "benchmarks/contestants/cnn_jax_train.py", "--network=cnn", "--batch_size=2", "--epochs=2"]
    words += [f"--data={tmp_path / 'data.npz'}", "--classes=10", "--optimizer=sgd"]
    environment = quick_programs.environment(os.environ) | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(words, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    figures = json.loads(done.stdout)
    assert figures["parameters"] == 93_322
    # Black images leave the last layer's bias alone to learn. Two steps an epoch, the first epoch not counted.
    bias, velocity, losses = np.zeros(10), np.zeros(10), []
    for _ in range(6):
        chances = np.exp(bias) / np.exp(bias).sum()
        losses.append(-math.log(chances[0]))
        velocity = 0.9 * velocity + chances - np.eye(10)[0]
        bias = bias - 0.01 * velocity
    assert figures["loss"] == pytest.approx(sum(losses[-2:]) / 2, rel=1e-5)  # float32
    assert figures["peak_bytes"] > figures["net_bytes"] > 0
