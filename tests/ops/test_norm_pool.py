"""Batch norm and max pooling in the other order, beside the two in theirs."""

import jax.numpy as jnp
import numpy as np
import pytest
from support.gradients import pull_back

from cnn_jax import ops
from cnn_jax.ops.platform import building_for


@pytest.mark.parametrize("parts", [1, 3])
@pytest.mark.parametrize("device", ["cpu", "tpu"])
@pytest.mark.parametrize(("window", "strides", "padding"), [(3, 2, 1), (2, None, "VALID"), ((3, 2), 1, "SAME")])
def test_values_and_gradients_are_those_of_the_two_layers(parts, device, window, strides, padding):
    draw = np.random.default_rng(0)
    x, scale, bias = draw.normal(size=(6, 7, 8, 4)) + 1, np.array([1.3, -0.7, 0.4, -2.0]), draw.normal(size=4)
    x, scale, bias = (jnp.asarray(each, jnp.float32) for each in (x, scale, bias))
    pool = {"strides": strides, "padding": padding}

    def pool_first(*arguments):
        return ops.batch_norm_max_pool_train(*arguments, window, shift=jnp.ones(4), parts=parts, eps=1e-3, **pool)

    def norm_first(*arguments):
        y, *statistics = ops.batch_norm_train(*arguments, parts=parts, eps=1e-3)
        return ops.max_pool(y, window, **pool), *statistics

    def cotangent_of(outputs):
        y, *statistics = outputs
        drawn = np.random.default_rng(1).normal(size=y.shape)
        return jnp.asarray(drawn, jnp.float32), *map(jnp.zeros_like, statistics)

    results = []
    with building_for(device):
        for function in (pool_first, norm_first):
            outputs, gradients = pull_back(function, cotangent_of, x, scale, bias)
            results.append((*outputs, *gradients))
    for ours, expected in zip(*results, strict=True):
        # sums of some hundred values in another order
        np.testing.assert_allclose(ours, expected, rtol=0, atol=5e-6 * float(jnp.abs(expected).max()))


def test_a_channel_that_falls_is_pooled_by_its_least():
    x = jnp.asarray([[1.0, 2.0], [3.0, 6.0]]).reshape(1, 2, 2, 1)  # mean 3, variance 3.5
    y, mean, variance = ops.batch_norm_max_pool_train(x, jnp.asarray([-2.0]), jnp.asarray([0.5]), 2, eps=0.5)
    assert float(mean[0]) == 3.0
    assert float(variance[0]) == 3.5
    assert float(y[0, 0, 0, 0]) == 2.5  # -2 (1 - 3) / sqrt(3.5 + 0.5) + 0.5


def test_parts_must_divide_the_batch():
    with pytest.raises(ValueError, match="parts=2 does not divide a batch of 3"):
        ops.batch_norm_max_pool_train(jnp.ones((3, 2, 2, 1)), jnp.ones(1), jnp.ones(1), 2, parts=2)
