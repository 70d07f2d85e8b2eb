"""Optimizers against their papers' formulas in NumPy, and schedules at known points."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnn_jax import config as cfg
from cnn_jax.train import optimizer as optimizers


def walk(config, gradients, start=(1.0, -2.0)):
    """Applies updates to one vector, with the rate that the train step multiplies in."""
    optimizer = optimizers.build(config)
    params = {"kernel": jnp.asarray([start])}
    state = optimizer.init(params)
    for gradient in gradients:
        updates, state = optimizer.update({"kernel": jnp.asarray([gradient])}, state, params)
        params = jax.tree.map(lambda p, d: p - config.learning_rate * d, params, updates)
    return np.asarray(params["kernel"][0])


GRADIENTS = [(0.5, -1.0), (0.25, 2.0), (-1.0, 0.125)]


def test_adam_by_its_formula():
    p, m, v = np.array([1.0, -2.0]), np.zeros(2), np.zeros(2)
    for t, g in enumerate(np.array(GRADIENTS), start=1):
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g**2
        p = p - 0.01 * (m / (1 - 0.9**t)) / (np.sqrt(v / (1 - 0.999**t)) + 1e-7)
    np.testing.assert_allclose(walk(cfg.Adam(learning_rate=0.01), GRADIENTS), p, rtol=1e-5)


def test_adamw_decays_apart_from_the_gradient():
    decayed = walk(cfg.AdamW(learning_rate=0.01, weight_decay=0.1), [(0.0, 0.0)])
    np.testing.assert_allclose(decayed, np.array([1.0, -2.0]) * (1 - 0.01 * 0.1), rtol=1e-6)


@pytest.mark.parametrize("nesterov", [False, True])
def test_sgd_by_its_formula(nesterov):
    p, velocity = np.array([1.0, -2.0]), np.zeros(2)
    for g in np.array(GRADIENTS):
        g = g + 0.01 * p
        velocity = 0.9 * velocity + g
        p = p - 0.1 * (g + 0.9 * velocity if nesterov else velocity)
    config = cfg.Sgd(learning_rate=0.1, momentum=0.9, nesterov=nesterov, weight_decay=0.01)
    np.testing.assert_allclose(walk(config, GRADIENTS), p, rtol=1e-5)


def test_clipping_scales_to_the_norm():
    moved = walk(cfg.Sgd(learning_rate=1.0, momentum=0.0, clip_norm=1.0), [(3.0, 4.0)], start=(0.0, 0.0))
    np.testing.assert_allclose(moved, [-0.6, -0.8], rtol=1e-6)


def test_biases_are_spared_unless_asked():
    params = {"kernel": jnp.ones((2, 2)), "bias": jnp.ones(2)}
    assert optimizers.decayed(params) == {"kernel": True, "bias": False}
    for mask, expected in (("kernels", 0.0), ("all", 0.5)):
        optimizer = optimizers.build(cfg.Sgd(momentum=0.0, weight_decay=0.5, weight_decay_mask=mask))
        updates, _ = optimizer.update(jax.tree.map(jnp.zeros_like, params), optimizer.init(params), params)
        assert updates["bias"][0] == expected
        assert updates["kernel"][0, 0] == 0.5


def rates(schedule, epochs=4, steps=5, peak=0.5):
    return optimizers.learning_rates(schedule, peak, epochs, steps)


def test_constant():
    assert rates(cfg.Constant()).tolist() == [0.5] * 20


def test_warmup_rises_to_the_peak():
    values = rates(cfg.Constant(warmup_epochs=0.8))
    np.testing.assert_allclose(values[:6], [0.1, 0.2, 0.3, 0.4, 0.5, 0.5], rtol=1e-6)


def test_cosine():
    values = rates(cfg.Cosine(final_fraction=0.1))
    expected = 0.5 * (0.1 + 0.9 * (1 + np.cos(np.pi * np.arange(20) / 19)) / 2)
    np.testing.assert_allclose(values, expected, rtol=1e-5)


def test_step():
    values = rates(cfg.Step(boundaries=(1.0, 3.0), factor=0.1))
    np.testing.assert_allclose(values, [0.5] * 5 + [0.05] * 10 + [0.005] * 5, rtol=1e-6)


def test_step_counts_its_epochs_from_the_start_with_warmup_too():
    values = rates(cfg.Step(boundaries=(2.0,), factor=0.5, warmup_epochs=1.0))
    np.testing.assert_allclose(values[5:], [0.5] * 5 + [0.25] * 10, rtol=1e-6)


def test_one_cycle():
    values = rates(cfg.OneCycle(peak=0.25, initial_fraction=0.1, final_fraction=0.01), epochs=10, steps=10)
    assert values[0] == pytest.approx(0.05, rel=1e-4)
    assert int(values.argmax()) == 25
    assert values[25] == pytest.approx(0.5, rel=1e-4)
    assert values[-1] == pytest.approx(0.005, rel=0.2)  # the end itself lies one step further
    assert (np.diff(values[:26]) > 0).all()
    assert (np.diff(values[25:]) < 0).all()


def test_an_optimizer_or_schedule_without_an_arm_is_refused():
    class Lion(type(cfg.Sgd()).__mro__[1]):
        name: str = "lion"

    with pytest.raises(AssertionError, match="lion"):
        optimizers.build(Lion())

    class Exponential(type(cfg.Constant()).__mro__[1]):
        name: str = "exponential"

    with pytest.raises(AssertionError, match="exponential"):
        optimizers.learning_rates(Exponential(), 0.1, 1, 10)
