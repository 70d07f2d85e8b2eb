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


def test_rmsprop_by_its_formula():
    """TensorFlow's: the mean starts at 1, the epsilon is under the root, momentum adds up scaled gradients."""
    p, mean, update = np.array([1.0, -2.0]), np.ones(2), np.zeros(2)
    for g in np.array(GRADIENTS):
        g = g + 0.02 * p
        mean = 0.8 * mean + 0.2 * g**2
        update = 0.5 * update + g / np.sqrt(mean + 0.01)
        p = p - 0.1 * update
    config = cfg.RmsProp(learning_rate=0.1, decay=0.8, momentum=0.5, eps=0.01, weight_decay=0.02)
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
    by_epoch = optimizers.learning_rates(schedule, peak, epochs, steps)
    assert by_epoch.shape == (epochs, steps)
    return by_epoch.reshape(-1)


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
    assert values[0] == pytest.approx(0.05, rel=1e-6)
    assert int(values.argmax()) == 25
    assert values[25] == 0.5
    assert values[-1] == pytest.approx(0.005, rel=1e-6)
    assert (np.diff(values[:26]) > 0).all()
    assert (np.diff(values[25:]) < 0).all()


def pytorchs_one_cycle(total, max_lr, pct_start, div_factor, final_div_factor):
    """OneCycleLR with cosine annealing: its two phases end at steps pct_start * total - 1 and total - 1."""
    initial, steps, top = max_lr / div_factor, np.arange(total), pct_start * total - 1

    def anneal(start, end, share):
        return end + (start - end) / 2 * (np.cos(np.pi * share) + 1)

    up = anneal(initial, max_lr, steps / top)
    down = anneal(max_lr, initial / final_div_factor, (steps - top) / (total - 1 - top))
    return np.where(steps <= top, up, down)


@pytest.mark.parametrize(("peak", "initial", "final"), [(0.3, 0.04, 1e-4), (0.5, 0.1, 0.01), (0.8, 1.0, 0.5)])
@pytest.mark.parametrize("total", [10, 23, 100, 1999])
def test_one_cycle_is_pytorchs_with_its_peak_one_step_later(peak, initial, final, total):
    schedule = cfg.OneCycle(peak=peak, initial_fraction=initial, final_fraction=final)
    share = (round(peak * total) + 1) / total
    expected = pytorchs_one_cycle(total, 0.5, share, 1 / initial, initial / final)
    np.testing.assert_allclose(rates(schedule, 1, total), expected, rtol=1e-5)


@pytest.mark.parametrize("peak", [0.001, 0.25, 0.3, 0.5, 0.7, 0.999])
def test_one_cycle_is_exact_at_first_peak_and_last_step_of_every_total(peak):
    schedule = cfg.OneCycle(peak=peak, initial_fraction=0.04, final_fraction=1e-4)
    for total in range(3, 2001):
        values = rates(schedule, 1, total, peak=1.0)
        top = min(max(round(peak * total), 1), total - 2)
        assert (values[0], values[top], values[-1]) == (np.float32(0.04), 1, np.float32(1e-4)), total
        assert (values[:top].max(), values[top + 1 :].max()) < (1, 1), total
    assert rates(schedule, 1, 2, peak=1.0).tolist() == [np.float32(0.04), 1]
    assert rates(schedule, 1, 1, peak=1.0).tolist() == [1]


def rates_at(points, schedule, total, peak=1.0):
    """Rates at chosen steps alone: a whole schedule compiles, which for thousands of them takes minutes."""
    rate = optimizers._schedule_function(schedule, peak, total, total)
    rates = np.asarray(rate(jnp.asarray(points, jnp.int32)), np.float32)
    return np.broadcast_to(rates, (len(points),)).tolist()


def test_cosine_is_exact_at_first_peak_and_last_step_of_every_total():
    for total in range(1, 2001):
        warmup = min(round(0.1 * total), total - 1)
        schedule = cfg.Cosine(warmup_epochs=0.1, final_fraction=0.25)
        first, top, last = rates_at((0, warmup, total - 1), schedule, total)
        assert first == pytest.approx(1 / (warmup + 1), abs=2e-7)  # float32, at 1
        assert top == 1
        assert last == (0.25 if total - warmup > 1 else 1), total


def test_step_loses_no_drop_at_any_total():
    boundaries = (0.001, 0.3, 0.3001, 0.5, 0.999)
    for total in range(2, 2001):
        steps = [min(max(round(epoch * total), 1), total - 1) for epoch in boundaries]
        values = rates_at((0, steps[2] - 1, steps[2], total - 1), cfg.Step(boundaries=boundaries, factor=0.5), total)
        expected = [0.5 ** sum(each <= step for each in steps) for step in (0, steps[2] - 1, steps[2], total - 1)]
        assert values == expected, total
        assert (expected[0], expected[-1]) == (1, 0.5**5)


def test_warmup_leaves_a_step_at_the_peak():
    assert rates(cfg.Constant(warmup_epochs=1.9), epochs=2, steps=1).tolist() == [0.25, 0.5]


def test_boundaries_of_one_step_drop_together():
    values = rates(cfg.Step(boundaries=(1.0, 1.04, 3.99), factor=0.1))
    np.testing.assert_allclose(values, [0.5] * 5 + [0.005] * 14 + [0.0005], rtol=1e-6)


def test_an_optimizer_or_schedule_that_nothing_builds_is_refused():
    class Lion(type(cfg.Sgd()).__mro__[1]):
        name: str = "lion"

    with pytest.raises(ValueError, match="'lion': expected one of: adam, adamw, rmsprop, sgd"):
        optimizers.build(Lion())

    class Exponential(type(cfg.Constant()).__mro__[1]):
        name: str = "exponential"

    with pytest.raises(AssertionError, match="exponential"):
        optimizers.learning_rates(Exponential(), 0.1, 1, 10)
