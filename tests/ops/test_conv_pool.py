"""The fused stage against its steps, one by one."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnn_jax import ops


def steps(x, kernel, bias, *, padding):
    return ops.max_pool(jax.nn.relu(ops.conv2d(x, kernel, padding=padding, lowering="xla") + bias), 2)


def normal(rng, shape):
    return rng.standard_normal(shape).astype(np.float32)


def error(ours, reference):
    ours, reference = np.asarray(ours), np.asarray(reference)
    return np.abs(ours - reference).max() / np.abs(reference).max()


PADDINGS = ("VALID", "SAME", "SAME_LOWER", 2, ((1, 0), (0, 3)), "REFLECT")


@pytest.mark.parametrize(("window", "channels"), [((3, 3), 1), ((3, 3), 16), ((5, 4), 1), ((5, 5), 6)])
def test_values_and_gradients(window, channels):
    """By every padding, in one program."""
    rng = np.random.default_rng(0)
    x = normal(rng, (3, 12, 9, channels))
    kernel = normal(rng, (*window, channels, 12))
    bias = normal(rng, 12)

    @jax.jit
    def gradients(*arrays):
        results = []
        for padding in PADDINGS:
            for function in (ops.conv2d_relu_max_pool, steps):
                y, pull = jax.vjp(functools.partial(function, padding=padding), *arrays)
                results.append((y, *pull(jnp.cos(y))))
        return results

    results = gradients(x, kernel, bias)
    for padding, fused, apart in zip(PADDINGS, results[::2], results[1::2], strict=True):
        for ours, theirs in zip(fused, apart, strict=True):
            assert ours.shape == theirs.shape
            assert error(ours, theirs) <= 1e-5, padding


def test_large_batches_are_worked_on_in_parts():
    """So many images take more than the cache: the parts give what one image gives."""
    rng = np.random.default_rng(1)
    x = normal(rng, (300, 12, 12, 16))
    kernel, bias = normal(rng, (3, 3, 16, 32)), jnp.zeros(32)
    by_parts, one_by_one = (
        jax.jit(functools.partial(function, padding="SAME")) for function in (ops.conv2d_relu_max_pool, steps)
    )
    y = by_parts(x, kernel, bias)
    for image in (0, 1, 150, 299):
        assert error(y[image], one_by_one(x[image : image + 1], kernel, bias)[0]) <= 1e-5
    gradient, expected = (
        jax.jit(jax.grad(lambda kernel, function=function: jnp.sum(function(x, kernel, bias) ** 2)))(kernel)
        for function in (by_parts, one_by_one)
    )
    assert error(gradient, expected) <= 1e-5


def test_what_does_not_fit_is_refused(untyped):
    with pytest.raises(ops.GeometryError, match="window of 2 pixels exceeds its input of 1"):
        ops.conv2d_relu_max_pool(jnp.ones((1, 3, 3, 1)), jnp.ones((3, 3, 1, 1)), jnp.zeros(1), padding="VALID")
    with pytest.raises(ValueError, match="input has 2 channels"):
        ops.conv2d_relu_max_pool(jnp.ones((1, 8, 8, 2)), jnp.ones((3, 3, 1, 1)), jnp.zeros(1))
