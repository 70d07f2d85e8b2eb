"""Sums in another order set two numbers of devices apart by rounding, until a ReLU decides differently.

Two steps of the lecture's stage on one device and on four. The first leaves parameters that differ in the last bits.
Then one channel's bias is moved, by the same amount in both runs, so that zero lies between its two values: what this
channel gives for a black picture passes the ReLU in one run and not in the other. The gradients are NumPy's.
"""

import subprocess
import sys
from pathlib import Path

import forced_devices
import numpy as np
import pytest

ROOT = Path(__file__).parent.parent.parent
RATE = 0.1
# Saves the parameters before and after the second step: with zero between the two values of a bias ("tie") and with
# both of them above it ("clear").
PROGRAM = """
import dataclasses, functools, sys
import jax, jax.numpy as jnp, numpy as np
from cnn_jax.config.parsing import parse
from cnn_jax.data.device.pipeline import Batch, Normalization, Preprocessing
from cnn_jax.train import sharding
from cnn_jax.train.step import StepConfig, create_state, train_step
given, rate = np.load(sys.argv[1]), float(sys.argv[2])
raw = {"model": {"features": (8,), "pooling": "max", "dense": ()}, "optimizer": {"name": "sgd", "momentum": 0.0}}
experiment, meshes = parse(raw), [sharding.data_mesh(jax.devices()[:count]) for count in (1, 4)]
scaled = Preprocessing(Normalization(jnp.zeros(1), jnp.full(1, 255.0)))
programs = []
for mesh in meshes:
    config = StepConfig.of(experiment, 3, mesh.abstract_mesh)
    programs.append(jax.jit(functools.partial(train_step, config)))
variables = config.network.init(jax.random.key(0), (10, 10, 1))

def take_step(run, state, number):
    one_batch, whole = sharding.one_batch(meshes[run]), sharding.replicated(meshes[run])
    arrays = (given[f"images{number}"], given[f"labels{number}"], np.ones(64, np.float32))
    batch = Batch(*(jax.device_put(each, one_batch) for each in arrays), jax.device_put(scaled, whole))
    return programs[run](jax.device_put(jax.device_get(state), whole), batch, rate, jax.random.key(1))[0]

saved = {}
states = [take_step(run, create_state(config, variables), 1) for run in (0, 1)]
biases = [np.asarray(state.params["conv1"]["bias"]) for state in states]
channel = np.argmax(np.abs(biases[0] - biases[1]))
middle = (biases[0][channel] + biases[1][channel]) / 2
for name, above in (("tie", 0.0), ("clear", 0.01)):
    for run in (0, 1):
        params = jax.device_get(states[run].params)
        params["conv1"]["bias"] = biases[run].copy()
        params["conv1"]["bias"][channel] += np.float32(above) - middle
        after = take_step(run, dataclasses.replace(states[run], params=params), 2).params
        for when, tree in (("before", params), ("after", after)):
            for layer, kernel_and_bias in {"conv1": tree["conv1"], "head": tree["head"]["logits"]}.items():
                for part, value in kernel_and_bias.items():
                    saved[f"{name}/{run}/{when}/{layer}/{part}"] = np.asarray(value)
np.savez(sys.argv[3], channel=channel, **saved)
"""


def gradients(params, images, labels, gate_from=None):
    """Gradients of the mean cross-entropy by NumPy in float64; the ReLU decides as it does with other parameters."""
    x, target = images[..., 0] / 255.0, np.eye(3)[labels]

    def pooled(params):
        windows = np.lib.stride_tricks.sliding_window_view(x, (3, 3), axis=(1, 2))  # [b, 8, 8, 3, 3]
        kernel = params["conv1/kernel"][:, :, 0].astype(np.float64)
        maps = np.einsum("bhwij,ijo->bhwo", windows, kernel) + params["conv1/bias"].astype(np.float64)
        fours = maps.reshape(-1, 4, 2, 4, 2, 8).transpose(0, 1, 3, 5, 2, 4).reshape(-1, 4, 4, 8, 4)
        winner = fours.argmax(axis=-1)
        return windows, winner, np.take_along_axis(fours, winner[..., None], -1)[..., 0]

    windows, winner, largest = pooled(params)
    gate = (largest if gate_from is None else pooled(gate_from)[2]) > 0
    features = np.where(gate, largest, 0).reshape(len(x), -1)
    logits = features @ params["head/kernel"] + params["head/bias"].astype(np.float64)
    likely = np.exp(logits - logits.max(1, keepdims=True))
    to_logits = (likely / likely.sum(1, keepdims=True) - target) / len(x)
    to_pooled = np.where(gate, (to_logits @ params["head/kernel"].T.astype(np.float64)).reshape(gate.shape), 0)
    to_fours = np.zeros((*gate.shape, 4))
    np.put_along_axis(to_fours, winner[..., None], to_pooled[..., None], -1)
    to_maps = to_fours.reshape(-1, 4, 4, 8, 2, 2).transpose(0, 1, 4, 2, 5, 3).reshape(-1, 8, 8, 8)
    return {
        "conv1/kernel": np.einsum("bhwij,bhwo->ijo", windows, to_maps)[:, :, None],
        "conv1/bias": to_maps.sum((0, 1, 2)),
        "head/kernel": features.T @ to_logits,
        "head/bias": to_logits.sum(0),
    }


def largest_difference(one, other):
    return max(np.abs(one[name].astype(np.float64) - other[name]).max() for name in one)


@pytest.fixture(scope="module")
def steps(tmp_path_factory):
    """A function that gives a run's parameters around the second step; the batch of this step, and the channel."""
    folder = tmp_path_factory.mktemp("decisions")
    rng = np.random.default_rng(0)
    given = {}
    for number in (1, 2):
        given[f"images{number}"] = rng.integers(0, 256, (64, 10, 10, 1), np.uint8)
        given[f"labels{number}"] = rng.integers(0, 3, 64).astype(np.int32)
    given["images2"][:48] = 0
    given["labels2"][:48] = 1  # what black pictures are, so that their gradients do not cancel
    np.savez(folder / "given.npz", **given)
    words = [sys.executable, "-c", PROGRAM, folder / "given.npz", str(RATE), folder / "saved.npz"]
    subprocess.run(words, cwd=ROOT, env=forced_devices.environment(4), check=True, timeout=300)
    saved = dict(np.load(folder / "saved.npz"))

    def step(name, run):
        def part(when):
            start = f"{name}/{run}/{when}/"
            return {key.removeprefix(start): value for key, value in saved.items() if key.startswith(start)}

        return part("before"), part("after")

    return step, (given["images2"], given["labels2"]), int(saved["channel"])


def test_without_such_a_decision_devices_agree(steps):
    step, batch, channel = steps
    (before, after), (before_four, after_four) = step("clear", 0), step("clear", 1)
    assert 0 < largest_difference(before, before_four) < 1e-7  # of weights up to 0.3: float32 sums in another order
    assert largest_difference(after, after_four) < 1e-7
    assert min(params["conv1/bias"][channel] for params in (before, before_four)) > 0.009
    expected = gradients(before, *batch)
    assert largest_difference({name: (before[name] - after[name]) / RATE for name in after}, expected) < 2e-6


def test_a_decision_that_falls_the_other_way_sets_devices_apart(steps):
    step, batch, channel = steps
    runs = [step("tie", run) for run in (0, 1)]
    assert 0 < largest_difference(runs[0][0], runs[1][0]) < 1e-7
    assert largest_difference(runs[0][1], runs[1][1]) > 1e-3  # ten thousand times as far after one step more
    biases = [before["conv1/bias"][channel] for before, _ in runs]
    assert (biases[0] > 0) != (biases[1] > 0)  # what the channel makes of a black picture
    assert max(np.abs(biases)) < 1e-7
    found = [{name: (before[name] - after[name]) / RATE for name in after} for before, after in runs]
    for run in (0, 1):
        (before, _), (other, _) = runs[run], runs[1 - run]
        assert largest_difference(found[run], gradients(before, *batch)) < 2e-6
        # With the other run's decisions these parameters give the other run's step: nothing else sets the two apart.
        decided = gradients(before, *batch, gate_from=other)
        assert largest_difference(found[1 - run], decided) < 2e-6
        assert largest_difference(found[run], decided) > 1e-2
