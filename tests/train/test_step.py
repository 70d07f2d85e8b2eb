"""The train step against gradients and formulas written out."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnn_jax.config.parsing import parse
from cnn_jax.data.device import pipeline
from cnn_jax.data.device.pipeline import Batch, DeviceSplit, Normalization, Preprocessing
from cnn_jax.train import step as steps
from cnn_jax.train.step import StepConfig, create_state

AS_THEY_ARE = Preprocessing(Normalization(jnp.zeros(1), jnp.ones(1)))
SCALED = Preprocessing(Normalization(jnp.zeros(1), jnp.full(1, 255.0)))
train_step, train_steps, predict = (
    jax.jit(function, static_argnums=0) for function in (steps.train_step, steps.train_steps, steps.predict)
)


def config(model=None, **train):
    raw = {
        "model": {"features": (4,), "pooling": "none", "dense": (6,)} | (model or {}),
        "optimizer": {"name": "sgd", "learning_rate": 0.1, "momentum": 0.0},
        "train": train,
    }
    return StepConfig.of(parse(raw), 3)


def start(this):
    return create_state(this, this.network.init(jax.random.key(0), (6, 6, 1)))


def batch(count, fillings=0):
    rng = np.random.default_rng(1)
    images = jnp.asarray(rng.random((count, 6, 6, 1)), jnp.float32)
    labels = jnp.asarray(rng.integers(0, 3, count), jnp.int32)
    index = jnp.arange(count + fillings) % count
    weights = (jnp.arange(count + fillings) < count).astype(jnp.float32)
    return Batch(images[index], labels[index], weights, AS_THEY_ARE)


def step(this, before, batch, rate=0.1):
    return train_step(this, before, batch, jnp.float32(rate), jax.random.key(0))[0]


def close(ours, theirs, tolerance=1e-6):
    for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance)


def precisions(this):
    """How exact all products and convolutions are, of each program that trains or evaluates."""
    before, data = start(this), DeviceSplit(jnp.zeros((4, 6, 6, 1), jnp.uint8), jnp.zeros(4, jnp.int32), AS_THEY_ARE)
    order, key, bounds = jnp.zeros((1, 2), jnp.int32), jax.random.key(0), (jnp.int32(0), jnp.int32(1))
    programs = [
        jax.jit(lambda state: steps.train_steps(this, state, data, order, jnp.ones(1), bounds, key)),
        jax.jit(lambda state: steps.train_step(this, state, batch(2), jnp.float32(1), key)),
        jax.jit(lambda state: steps.evaluate(this, state.variables, data, order)),
        jax.jit(lambda state: steps.eval_step(this, state.variables, batch(2))),
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
    plain = config(model={"lowering": lowering})
    assert precisions(plain) == [{"DEFAULT"}] * 4
    exact = config(model={"lowering": lowering}, matmul_precision="highest")
    assert precisions(exact) == [{"HIGHEST"}] * 4
    assert exact != plain


def changed(value):
    """Another legal value of a field."""
    if isinstance(value, bool):
        return not value
    return value + 1 if isinstance(value, int) else 0.25


def test_programs_are_shared_by_runs_that_differ_in_arrays_alone():
    plain = parse({})
    alike = {"seed": 3, "optimizer": {"learning_rate": 0.5}, "train": {"epochs": 9, "eval_every_epochs": 2}}
    assert StepConfig.of(parse(alike), 3) == StepConfig.of(plain, 3)
    assert hash(StepConfig.of(parse(alike), 3)) == hash(StepConfig.of(plain, 3))
    shared = {"epochs", "steps_per_dispatch", "eval_every_epochs"}
    for field, value in plain.train.model_dump().items():
        other = "highest" if value is None else changed(value)
        another = plain.model_copy(update={"train": plain.train.model_copy(update={field: other})})
        assert (StepConfig.of(another, 3) == StepConfig.of(plain, 3)) == (field in shared), field


@pytest.mark.parametrize("smoothing", [0.0, 0.3])
def test_a_step_of_plain_descent(smoothing):
    this = config(label_smoothing=smoothing)
    before, data = start(this), batch(5)

    def loss(params):
        logits, _, _ = this.network.apply({"params": params}, data.images, train=False)
        log_probabilities = logits - jnp.log(jnp.exp(logits).sum(axis=1, keepdims=True))
        right = jnp.take_along_axis(log_probabilities, data.labels[:, None], axis=1)[:, 0]
        return -((1 - smoothing) * right + smoothing * log_probabilities.mean(axis=1)).mean()

    after = step(this, before, data)
    expected = jax.tree.map(lambda p, g: p - 0.1 * g, before.params, jax.grad(loss)(before.params))
    close(after.params, expected)
    assert int(after.step) == 1
    assert int(after.epoch_sums.examples) == 5


def test_mixed_targets_are_then_smoothed():
    train = config(label_smoothing=0.3).train
    mixed = jnp.asarray([[0.75, 0.25, 0.0], [0.0, 0.5, 0.5]])
    smoothed = np.array([[0.625, 0.275, 0.1], [0.1, 0.45, 0.45]])  # 0.7 times the targets, plus 0.3 / 3
    logits, aux = (np.random.default_rng(seed).normal(size=(2, 3)).astype(np.float32) for seed in (0, 1))

    def loss(logits):
        return -(smoothed * (logits - np.log(np.exp(logits).sum(axis=1, keepdims=True)))).sum(axis=1)

    np.testing.assert_allclose(steps.cross_entropy(train, logits, (), mixed), loss(logits), rtol=1e-5)
    with_aux = steps.cross_entropy(train, logits, (aux,), mixed)
    np.testing.assert_allclose(with_aux, loss(logits) + 0.3 * loss(aux), rtol=1e-5)


def test_fillings_of_the_last_batch_change_nothing():
    this = config()
    before = start(this)
    plain, filled = step(this, before, batch(5)), step(this, before, batch(5, fillings=3))
    close(plain.params, filled.params)
    assert int(filled.epoch_sums.examples) == 5
    assert float(filled.epoch_sums.loss) == pytest.approx(float(plain.epoch_sums.loss), rel=1e-6)


def test_parts_of_a_batch_add_up_to_the_whole():
    whole, parts = config(batch_size=6), config(batch_size=6, accumulate=3)
    before, data = start(whole), batch(4, fillings=2)
    one, three = step(whole, before, data), step(parts, before, data)
    close(three.params, one.params)
    close(three.epoch_sums, one.epoch_sums)
    assert int(three.epoch_sums.examples) == 4
    moved = [abs(a - b).max() for a, b in zip(*map(jax.tree.leaves, (one.params, before.params)), strict=True)]
    assert min(moved) > 1e-4


def test_batches_that_were_read_are_the_same_steps():
    this, rng = config(batch_size=4), np.random.default_rng(3)
    split = DeviceSplit(jnp.asarray(rng.integers(0, 256, (10, 6, 6, 1)), jnp.uint8), jnp.arange(10) % 3, SCALED)
    order = pipeline.file_order(10, 4)
    key = jax.random.key(1)
    whole, sums = train_steps(this, start(this), split, order, jnp.full(3, 0.1), (0, 3), key)
    apart = start(this)
    for number, numbers in enumerate(order):
        weights = jnp.asarray([1.0, 1, number < 2, number < 2])
        read = Batch(split.images[numbers], split.labels[numbers], weights, SCALED)
        apart, running = train_step(this, apart, read, jnp.float32(0.1), key)
    close(apart, whole)
    close(running, sums)
    assert int(apart.epoch_sums.examples) == int(sums[0].examples) == int(sums[1].examples) == 10


def test_the_running_mean_of_the_parameters():
    this = config(ema_decay=0.5)
    before = start(this)
    after = step(this, before, batch(5))
    # decay min(0.5, (1 + 0) / (10 + 0)) in the first step
    close(after.averaged, jax.tree.map(lambda old, new: 0.1 * old + 0.9 * new, before.params, after.params))
    assert after.variables["params"] is after.averaged


def test_many_steps_in_one_dispatch_are_the_same_steps():
    this = config()
    rng = np.random.default_rng(0)
    images, labels = rng.integers(0, 256, (10, 6, 6, 1)), jnp.arange(10, dtype=jnp.int32) % 3
    data = DeviceSplit(jnp.asarray(images, jnp.uint8), labels, SCALED)
    order, rates = pipeline.file_order(10, 4), jnp.asarray([0.1, 0.2, 0.3])
    run = jax.jit(
        lambda before, first, last: steps.train_steps(
            this, before, data, order, rates, (first, last), jax.random.key(5)
        )[0]
    )
    together = run(start(this), 0, 3)
    apart = run(run(start(this), 0, 1), 1, 3)
    for a, b in zip(jax.tree.leaves(together), jax.tree.leaves(apart), strict=True):
        assert np.array_equal(a, b)
    by_hand = start(this)
    for number, rate in enumerate(rates):
        taken = pipeline.take(data, order, jnp.int32(number))
        by_hand = step(this, by_hand, taken._replace(images=taken.images / 255.0, preprocessing=AS_THEY_ARE), rate)
    close(together.params, by_hand.params, tolerance=1e-5)
    assert int(together.epoch_sums.examples) == 10


def test_evaluation_of_mirrored_images_too():
    plain, mirrored = config(), config(eval_mirrored=True)
    variables = start(plain).variables
    pixels = jnp.asarray(np.random.default_rng(2).integers(0, 256, (4, 6, 6, 1)), jnp.uint8)
    constants = SCALED.normalization
    ours = predict(mirrored, variables, pixels, constants)
    one, other = (predict(plain, variables, each, constants) for each in (pixels, pixels[:, :, ::-1, :]))
    np.testing.assert_allclose(ours, (one + other) / 2, rtol=1e-6)
    assert not np.allclose(one, other)
    np.testing.assert_array_equal(ours, predict(mirrored, variables, pixels[:, :, ::-1, :], constants))


@pytest.mark.parametrize("mirrored", [False, True])
def test_evaluation_of_moved_images_too(mirrored):
    plain, moved = config(), config(eval_shift=2, eval_mirrored=mirrored)
    variables = start(plain).variables
    images = np.random.default_rng(3).integers(1, 256, (4, 6, 6, 1), dtype=np.uint8)
    constants = SCALED.normalization
    up, down, left, right = (np.zeros_like(images) for _ in range(4))
    up[:, :-2], down[:, 2:] = images[:, 2:], images[:, :-2]
    left[:, :, :-2], right[:, :, 2:] = images[:, :, 2:], images[:, :, :-2]
    seen = [images, up, down, left, right]
    if mirrored:
        seen += [each[:, :, ::-1] for each in seen]
    by_hand = np.mean([predict(plain, variables, jnp.asarray(each), constants) for each in seen], axis=0)
    ours = predict(moved, variables, jnp.asarray(images), constants)
    np.testing.assert_allclose(ours, by_hand, rtol=1e-5, atol=1e-6)  # sums in another order
