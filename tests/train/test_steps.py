"""The train step against gradients and formulas written out."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnn_jax import models
from cnn_jax.config_parse import parse
from cnn_jax.data import pipeline
from cnn_jax.data.pipeline import Batch, DeviceSplit, Normalization
from cnn_jax.train import optim, state, steps


def recipe(model=None, **train):
    raw = {
        "model": {"features": (4,), "pooling": "none", "dense": (6,)} | (model or {}),
        "optimizer": {"name": "sgd", "learning_rate": 0.1, "momentum": 0.0},
        "train": train,
    }
    experiment = parse(raw)
    return steps.Recipe(experiment, models.create(experiment.model, 3), optim.optimizer(experiment.optimizer), 3)


def start(recipe, ema=False):
    return state.create(recipe.optimizer, recipe.model.init(jax.random.key(0), (6, 6, 1)), ema)


def batch(count, fillings=0):
    rng = np.random.default_rng(1)
    images = jnp.asarray(rng.random((count, 6, 6, 1)), jnp.float32)
    labels = jnp.asarray(rng.integers(0, 3, count), jnp.int32)
    index = jnp.arange(count + fillings) % count
    weights = (jnp.arange(count + fillings) < count).astype(jnp.float32)
    return Batch(images[index], jax.nn.one_hot(labels[index], 3), weights)


def step(recipe, before, batch, rate=0.1):
    return steps.train_step(recipe, before, batch, jnp.float32(rate), jax.random.key(0))


def close(ours, theirs, tolerance=1e-6):
    for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance)


def precisions(this):
    """How exact all products and convolutions are, forward and backward, of a train step and of evaluation."""
    before, data = start(this), DeviceSplit(jnp.zeros((4, 6, 6, 1), jnp.uint8), jnp.zeros(4, jnp.int32))
    constants, order, key = Normalization(jnp.zeros(1), jnp.ones(1)), jnp.zeros((1, 2), jnp.int32), jax.random.key(0)
    programs = [
        jax.jit(lambda state: steps.train_steps(this, state, data, constants, None, order, jnp.ones(1), 0, 1, key)),
        jax.jit(lambda state: steps.evaluate(this, state.variables, data, constants, order)),
    ]
    found = []
    for program in programs:
        lines = program.lower(before).as_text().splitlines()
        products = [line for line in lines if re.search(r"stablehlo\.(dot_general|convolution)", line)]
        assert len(products) > 2
        found.append({word for line in products for word in re.findall(r"\b[A-Z]{4,}\b", line)})
    return found


@pytest.mark.parametrize("lowering", ["xla", "patches"])
def test_the_precision_of_products(lowering):
    plain = recipe(model={"lowering": lowering})
    assert precisions(plain) == [{"DEFAULT"}, {"DEFAULT"}]
    exact = recipe(model={"lowering": lowering}, matmul_precision="highest")
    assert precisions(exact) == [{"HIGHEST"}, {"HIGHEST"}]
    assert exact.compiled_in != plain.compiled_in


@pytest.mark.parametrize("smoothing", [0.0, 0.3])
def test_a_step_of_plain_descent(smoothing):
    this = recipe(label_smoothing=smoothing)
    before, data = start(this), batch(5)

    def loss(params):
        logits, _, _ = this.model.apply({"params": params}, data.images, train=False)
        log_probabilities = logits - jnp.log(jnp.exp(logits).sum(axis=1, keepdims=True))
        right = jnp.take_along_axis(log_probabilities, data.targets.argmax(axis=1)[:, None], axis=1)[:, 0]
        return -((1 - smoothing) * right + smoothing * log_probabilities.mean(axis=1)).mean()

    after = step(this, before, data)
    expected = jax.tree.map(lambda p, g: p - 0.1 * g, before.params, jax.grad(loss)(before.params))
    close(after.params, expected)
    assert int(after.step) == 1
    assert int(after.epoch_sums.examples) == 5


def test_mixed_targets_are_then_smoothed():
    this = recipe(label_smoothing=0.3)
    before, data = start(this), batch(2)
    mixed = data._replace(targets=jnp.asarray([[0.75, 0.25, 0.0], [0.0, 0.5, 0.5]]))
    smoothed = jnp.asarray([[0.625, 0.275, 0.1], [0.1, 0.45, 0.45]])  # 0.7 times the targets, plus 0.3 / 3

    def loss(params):
        logits, _, _ = this.model.apply({"params": params}, data.images, train=False)
        return -(smoothed * jax.nn.log_softmax(logits)).sum(axis=1).mean()

    after = step(this, before, mixed)
    close(after.params, jax.tree.map(lambda p, g: p - 0.1 * g, before.params, jax.grad(loss)(before.params)))


def test_fillings_of_the_last_batch_change_nothing():
    this = recipe()
    before = start(this)
    plain, filled = step(this, before, batch(5)), step(this, before, batch(5, fillings=3))
    close(plain.params, filled.params)
    assert int(filled.epoch_sums.examples) == 5
    assert float(filled.epoch_sums.loss) == pytest.approx(float(plain.epoch_sums.loss), rel=1e-6)


def test_parts_of_a_batch_add_up_to_the_whole():
    whole, parts = recipe(batch_size=6), recipe(batch_size=6, accumulate=3)
    before, data = start(whole), batch(4, fillings=2)
    one, three = step(whole, before, data), step(parts, before, data)
    close(three.params, one.params)
    close(three.epoch_sums, one.epoch_sums)
    assert int(three.epoch_sums.examples) == 4
    moved = [abs(a - b).max() for a, b in zip(*map(jax.tree.leaves, (one.params, before.params)), strict=True)]
    assert min(moved) > 1e-4


def test_batches_that_were_read_are_the_same_steps():
    this, rng = recipe(batch_size=4), np.random.default_rng(3)
    split = DeviceSplit(jnp.asarray(rng.integers(0, 256, (10, 6, 6, 1)), jnp.uint8), jnp.arange(10) % 3)
    order = pipeline.file_order(10, 4)
    constants = Normalization(jnp.zeros(1), jnp.full(1, 255.0))
    key = jax.random.key(1)
    whole = steps.train_steps(this, start(this), split, constants, None, order, jnp.full(3, 0.1), 0, 3, key)
    apart = start(this)
    for number, numbers in enumerate(order):
        read = (split.images[numbers], split.labels[numbers], jnp.asarray([1.0, 1, number < 2, number < 2]))
        apart = steps.train_on_pixels(this, apart, read, constants, None, jnp.float32(0.1), key)
    close(apart, whole)
    assert int(apart.epoch_sums.examples) == 10


def test_the_running_mean_of_the_parameters():
    this = recipe(ema_decay=0.5)
    before = start(this, ema=True)
    after = step(this, before, batch(5))
    # decay min(0.5, (1 + 0) / (10 + 0)) in the first step
    close(after.averaged, jax.tree.map(lambda old, new: 0.1 * old + 0.9 * new, before.params, after.params))
    assert after.variables["params"] is after.averaged


def test_many_steps_in_one_dispatch_are_the_same_steps():
    this = recipe()
    rng = np.random.default_rng(0)
    data = DeviceSplit(jnp.asarray(rng.integers(0, 256, (10, 6, 6, 1)), jnp.uint8), jnp.arange(10, dtype=jnp.int32) % 3)
    constants = Normalization(jnp.zeros(1), jnp.full(1, 255.0))
    order, rates = pipeline.file_order(10, 4), jnp.asarray([0.1, 0.2, 0.3])
    run = jax.jit(
        lambda before, first, last: steps.train_steps(
            this, before, data, constants, None, order, rates, first, last, jax.random.key(5)
        )
    )
    together = run(start(this), 0, 3)
    apart = run(run(start(this), 0, 1), 1, 3)
    for a, b in zip(jax.tree.leaves(together), jax.tree.leaves(apart), strict=True):
        assert np.array_equal(a, b)
    by_hand = start(this)
    for number, rate in enumerate(rates):
        pixels, labels, weights = pipeline.take(data, order, jnp.int32(number))
        by_hand = step(this, by_hand, Batch(pixels / 255.0, jax.nn.one_hot(labels, 3), weights), rate)
    close(together.params, by_hand.params, tolerance=1e-5)
    assert int(together.epoch_sums.examples) == 10


def test_evaluation_of_mirrored_images_too():
    plain, mirrored = recipe(), recipe(eval_mirrored=True)
    variables = start(plain).variables
    pixels = jnp.asarray(np.random.default_rng(2).integers(0, 256, (4, 6, 6, 1)), jnp.uint8)
    constants = Normalization(jnp.zeros(1), jnp.full(1, 255.0))
    ours = steps.predict(mirrored, variables, pixels, constants)
    one, other = (steps.predict(plain, variables, each, constants) for each in (pixels, pixels[:, :, ::-1, :]))
    np.testing.assert_allclose(ours, (one + other) / 2, rtol=1e-6)
    assert not np.allclose(one, other)
    np.testing.assert_array_equal(ours, steps.predict(mirrored, variables, pixels[:, :, ::-1, :], constants))


@pytest.mark.parametrize("mirrored", [False, True])
def test_evaluation_of_moved_images_too(mirrored):
    plain, moved = recipe(), recipe(eval_shift=2, eval_mirrored=mirrored)
    variables = start(plain).variables
    images = np.random.default_rng(3).integers(1, 256, (4, 6, 6, 1), dtype=np.uint8)
    constants = Normalization(jnp.zeros(1), jnp.full(1, 255.0))
    up, down, left, right = (np.zeros_like(images) for _ in range(4))
    up[:, :-2], down[:, 2:] = images[:, 2:], images[:, :-2]
    left[:, :, :-2], right[:, :, 2:] = images[:, :, 2:], images[:, :, :-2]
    seen = [images, up, down, left, right]
    if mirrored:
        seen += [each[:, :, ::-1] for each in seen]
    by_hand = np.mean([steps.predict(plain, variables, jnp.asarray(each), constants) for each in seen], axis=0)
    ours = steps.predict(moved, variables, jnp.asarray(images), constants)
    np.testing.assert_allclose(ours, by_hand, rtol=1e-5, atol=1e-6)  # sums in another order
