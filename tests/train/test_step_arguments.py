"""Numbers of the config as arrays of the step: the same bits as constants, and one program for all values."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnn_jax import compilation
from cnn_jax.config.parsing import parse
from cnn_jax.data.device.pipeline import DeviceSplit, Normalization, Preprocessing
from cnn_jax.train.step import StepConfig, create_state, train_steps

SGD = {
    "optimizer": {"name": "sgd", "momentum": 0.87, "nesterov": True, "weight_decay": 3e-3, "clip_norm": 0.7},
    "train": {"label_smoothing": 0.13, "ema_decay": 0.77},
}
ADAM = {"optimizer": {"name": "adam", "weight_decay": 0.01, "eps": 3e-5}, "train": {"label_smoothing": 0.07}}
ADAMW = {"optimizer": {"name": "adamw", "weight_decay": 0.3, "eps": 1e-6, "clip_norm": 0.01}}
PLAIN = {"optimizer": {"name": "sgd", "momentum": 0}}


def step_config(changes):
    model = {"features": (4,), "kernel_size": 3, "pooling": "max", "dense": (8,)}
    return StepConfig.of(parse({"model": model, **changes}), num_classes=3)


def trained(config, numbers):
    """The state after 12 steps."""
    rng = np.random.default_rng(0)
    images, labels = rng.integers(0, 256, (64, 12, 12, 1)).astype(np.uint8), rng.integers(0, 3, 64).astype(np.int32)
    constants = Preprocessing(Normalization(jnp.zeros(1), jnp.full(1, 255.0)), numbers=numbers)
    order = rng.integers(0, 64, (12, 16)).astype(np.int32)
    variables = config.network.init(jax.random.key(1), (12, 12, 1))
    state = create_state(config, variables)
    rates, bounds = np.full(12, 0.05, np.float32), (np.int32(0), np.int32(12))
    arguments = (state, DeviceSplit(images, labels, constants), order, rates, bounds, jax.random.key(2))
    program = jax.jit(functools.partial(train_steps, config)).lower(*arguments).compile(compilation.options())
    return program(*arguments)[0]


@pytest.mark.parametrize("changes", [SGD, ADAM, ADAMW, PLAIN])
def test_arrays_have_the_bits_of_constants(changes, programs_of_a_run):
    config = step_config(changes)
    expected = trained(config, None)
    arrays, numbers = config.with_arguments()
    found = trained(arrays, numbers)
    ours, theirs = jax.tree.leaves_with_path(found), jax.tree.leaves(expected)
    assert len(ours) == len(theirs) > 10
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(found.params))
    for (path, one), other in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(one, other, err_msg=jax.tree_util.keystr(path))


@pytest.mark.parametrize(
    ("changes", "field", "values"),
    [
        (SGD, "train.label_smoothing", (0.01, 0.2)),
        (SGD, "train.ema_decay", (0.9, 0.99)),
        (SGD, "optimizer.momentum", (0.5, 0.9)),
        (SGD, "optimizer.weight_decay", (1e-5, 1e-1)),
        (SGD, "optimizer.clip_norm", (1.0, 2.0)),
        (ADAM, "optimizer.eps", (1e-8, 1e-3)),
        (ADAM, "train.aux_loss_weight", (0.3, 0.4)),
    ],
)
def test_values_of_a_number_share_a_program(changes, field, values):
    section, name = field.split(".")
    taken = [step_config({**changes, section: changes.get(section, {}) | {name: value}}) for value in values]
    (first, of_first), (second, of_second) = (config.with_arguments() for config in taken)
    assert taken[0] != taken[1]
    assert first == second
    assert hash(first) == hash(second)
    assert of_first.keys() == of_second.keys()
    assert {key for key in of_first if (of_first[key] != of_second[key]).any()} == {field}


@pytest.mark.parametrize("field", ["label_smoothing", "ema_decay"])
def test_none_of_it_is_another_program(field):
    zero = step_config(SGD | {"train": SGD["train"] | {field: 0}}).with_arguments()
    assert zero[0] != step_config(SGD).with_arguments()[0]
    assert f"train.{field}" not in zero[1]


def test_a_step_without_its_numbers_is_an_error():
    config, numbers = step_config(SGD).with_arguments()
    del numbers["optimizer.momentum"]
    with pytest.raises(ValueError, match="the step lacks the numbers of optimizer: momentum"):
        config.with_numbers(numbers)
