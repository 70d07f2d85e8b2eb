"""Batch and group norm against their definitions, and the running statistics."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnn_jax import ops
from cnn_jax.blocks import Norm, Policy
from cnn_jax.ops.platform import building_for

BOTH = pytest.mark.parametrize("platform", ["cpu", "gpu"])  # on GPUs it is computed otherwise


@BOTH
def test_batch_norm_and_its_gradient_by_hand(platform):
    rng = np.random.default_rng(0)
    x, cotangent = rng.standard_normal((2, 4, 3, 3, 5))
    scale, bias = rng.standard_normal((2, 5))
    mean, variance = x.mean((0, 1, 2)), x.var((0, 1, 2))
    normal = (x - mean) / np.sqrt(variance + 1e-5)

    def loss(x, scale, bias):
        y, _, _ = ops.batch_norm_train(x, scale, bias)
        return jnp.sum(y * cotangent), y

    arrays = [jnp.asarray(array, jnp.float32) for array in (x, scale, bias)]
    with building_for(platform):
        (to_x, to_scale, to_bias), y = jax.grad(loss, argnums=(0, 1, 2), has_aux=True)(*arrays)
    np.testing.assert_allclose(y, normal * scale + bias, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(to_bias, cotangent.sum((0, 1, 2)), rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(to_scale, (cotangent * normal).sum((0, 1, 2)), rtol=1e-5, atol=1e-5)
    # Differences of the loss itself, in float64
    step = 1e-6
    for place in [(0, 0, 0, 0), (3, 2, 1, 4), (1, 1, 1, 2)]:
        moved = x.copy()
        moved[place] += step
        losses = [
            np.sum(cotangent * ((each - each.mean((0, 1, 2))) / np.sqrt(each.var((0, 1, 2)) + 1e-5) * scale + bias))
            for each in (moved, x)
        ]
        assert to_x[place] == pytest.approx((losses[0] - losses[1]) / step, rel=1e-3, abs=1e-4)


def test_running_statistics_move_by_a_tenth_towards_the_unbiased_ones():
    norm = Norm(Policy(norm="batch", norm_momentum=0.9))
    x = jnp.asarray(np.random.default_rng(0).normal(3.0, 2.0, (4, 2, 2, 3)), jnp.float32)
    variables = norm.init(jax.random.key(0), x, train=True)
    np.testing.assert_array_equal(variables["batch_stats"]["mean"], np.zeros(3))
    _, updates = norm.apply(variables, x, train=True, mutable=["batch_stats"])
    flat = np.asarray(x, np.float64).reshape(-1, 3)
    np.testing.assert_allclose(updates["batch_stats"]["mean"], 0.1 * flat.mean(0), rtol=1e-5)
    np.testing.assert_allclose(updates["batch_stats"]["variance"], 0.9 + 0.1 * flat.var(0, ddof=1), rtol=1e-5)
    calm = norm.apply(variables, x, train=False)
    np.testing.assert_allclose(calm, x / np.sqrt(1 + 1e-5), rtol=1e-6)


@BOTH
def test_parts_of_a_batch_are_normalised_each_by_its_own(platform):
    rng = np.random.default_rng(1)
    x, cotangent = (jnp.asarray(each, jnp.float32) for each in rng.normal(2.0, 3.0, (2, 6, 3, 2, 4)))
    scale, bias = (jnp.asarray(each, jnp.float32) for each in rng.standard_normal((2, 4)))

    def loss(x, scale, bias, cotangent, parts):
        y, *statistics = ops.batch_norm_train(x, scale, bias, parts=parts)
        return jnp.sum(y * cotangent), (y, *statistics)

    gradients = jax.grad(loss, argnums=(0, 1, 2), has_aux=True)
    with building_for(platform):
        (to_x, *to_weights), (y, *statistics) = gradients(x, scale, bias, cotangent, 3)
    apart = [gradients(x[i : i + 2], scale, bias, cotangent[i : i + 2], 1) for i in (0, 2, 4)]
    close = {"rtol": 1e-5, "atol": 1e-5}
    np.testing.assert_allclose(y, np.concatenate([each[1][0] for each in apart]), **close)
    np.testing.assert_allclose(to_x, np.concatenate([each[0][0] for each in apart]), **close)
    for ours, theirs in zip(to_weights, zip(*[each[0][1:] for each in apart], strict=True), strict=True):
        np.testing.assert_allclose(ours, sum(theirs), **close)
    for ours, theirs in zip(statistics, zip(*[each[1][1:] for each in apart], strict=True), strict=True):
        np.testing.assert_allclose(ours, np.mean(theirs, axis=0), **close)
    with pytest.raises(ValueError, match="parts=4 does not divide a batch of 6"):
        ops.batch_norm_train(x, scale, bias, parts=4)


def test_running_statistics_of_parts_move_towards_the_mean_of_theirs():
    norm = Norm(Policy(norm="batch", norm_momentum=0.9, norm_images=2))
    x = np.random.default_rng(0).normal(3.0, 2.0, (4, 2, 2, 3)).astype(np.float32)
    variables = norm.init(jax.random.key(0), jnp.asarray(x), train=True)
    _, updates = norm.apply(variables, jnp.asarray(x), train=True, mutable=["batch_stats"])
    parts = x.astype(np.float64).reshape(2, -1, 3)
    variance = parts.var(1, ddof=1).mean(0)
    np.testing.assert_allclose(updates["batch_stats"]["mean"], 0.1 * parts.mean((0, 1)), rtol=1e-5)
    np.testing.assert_allclose(updates["batch_stats"]["variance"], 0.9 + 0.1 * variance, rtol=1e-5)


def test_a_frozen_norm_uses_and_keeps_its_running_statistics():
    norm = Norm(Policy(norm="batch", frozen=("stem",)), name="norm")
    x = jax.random.normal(jax.random.key(0), (4, 2, 2, 3))

    class Stem(nn.Module):
        def setup(self):
            self.stem = norm

        def __call__(self, x):
            return self.stem(x, True)

    stem = Stem()
    variables = stem.init(jax.random.key(0), x)
    y, updates = stem.apply(variables, x, mutable=["batch_stats"])
    np.testing.assert_allclose(y, x / np.sqrt(1 + 1e-5), rtol=1e-6)
    jax.tree.map(np.testing.assert_array_equal, updates["batch_stats"], variables["batch_stats"])


def test_group_norm_by_hand():
    rng = np.random.default_rng(1)
    x, scale, bias = rng.standard_normal((2, 3, 4, 6)), rng.standard_normal(6), rng.standard_normal(6)
    split = x.reshape(2, 3, 4, 2, 3)
    normal = (split - split.mean((1, 2, 4), keepdims=True)) / np.sqrt(split.var((1, 2, 4), keepdims=True) + 1e-5)
    arrays = [jnp.asarray(array, jnp.float32) for array in (x, scale, bias)]
    np.testing.assert_allclose(
        ops.group_norm(*arrays, groups=2), normal.reshape(x.shape) * scale + bias, rtol=1e-5, atol=1e-5
    )
    with pytest.raises(ValueError, match="groups=4 does not divide 6"):
        ops.group_norm(*arrays, groups=4)


def test_half_precision_keeps_float32_statistics():
    x = 1000 + jax.random.normal(jax.random.key(0), (8, 8, 8, 2))
    mean, variance = ops.batch_statistics(x.astype(jnp.bfloat16))
    assert mean.dtype == variance.dtype == jnp.float32
    wide = np.asarray(x.astype(jnp.bfloat16), np.float64).reshape(-1, 2)
    np.testing.assert_allclose(mean, wide.mean(0), rtol=1e-6)
    np.testing.assert_allclose(variance, wide.var(0), rtol=1e-3)


def test_layer_norm_by_hand():
    """Over the channels of each pixel."""
    x = np.random.default_rng(3).standard_normal((2, 3, 2, 6)).astype(np.float32)
    scale, bias = np.random.default_rng(4).standard_normal((2, 6)).astype(np.float32)
    norm = Norm(Policy(norm="layer", norm_eps=1e-6))
    variables = {"params": {"scale": jnp.asarray(scale), "bias": jnp.asarray(bias)}}
    y = norm.apply(variables, jnp.asarray(x), train=True)
    expected = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-6) * scale + bias
    np.testing.assert_allclose(y, expected, rtol=1e-5, atol=1e-5)
    half = norm.apply(variables, jnp.asarray(x, jnp.bfloat16), train=True)
    assert half.dtype == jnp.bfloat16
    np.testing.assert_allclose(np.asarray(half, np.float32), expected, rtol=0.02, atol=0.03)
