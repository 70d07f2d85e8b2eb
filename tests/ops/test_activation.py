"""The rectified linear unit beside JAX's own."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from support.gradients import pull_back

from cnn_jax import ops

VALUES = [-np.inf, -2.0, -0.0, 0.0, 1e-45, 0.5, 3.0, np.inf]


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_values_and_gradients_are_jaxs(dtype):
    x = jnp.asarray(VALUES, dtype)
    for ours, expected in zip(*(jax.vjp(function, x) for function in (ops.relu, jax.nn.relu)), strict=True):
        results = [each(jnp.arange(1.0, 9.0, dtype=dtype))[0] if callable(each) else each for each in (ours, expected)]
        assert results[0].dtype == dtype
        np.testing.assert_array_equal(*results)
    tangents = jnp.full(x.shape, 3, dtype)
    np.testing.assert_array_equal(jax.jvp(ops.relu, (x,), (tangents,))[1], [0, 0, 0, 0, 3 * (x[4] > 0), 3, 3, 3])


def test_what_comes_in_is_not_kept():
    def total(x, y):
        return ops.relu(x + y)

    def kept(function):
        _, back = jax.vjp(function, jnp.full(3, -1.0), jnp.full(3, -2.0))
        return [leaf.tolist() for leaf in jax.tree.leaves(back)]

    assert [-3.0] * 3 not in kept(total)
    assert [-3.0] * 3 in kept(lambda x, y: (x + y) * x)  # what is kept is seen


def test_backward_passes_of_a_rectifier(untyped):
    x = jnp.asarray([-2.0, 3.0, -1.0, 4.0, 0.0])
    cotangent = jnp.asarray([5.0, -6.0, -7.0, 8.0, 9.0])
    expected = {"gradient": [0, -6, 0, 8, 0], "deconvnet": [5, 0, 0, 8, 9], "guided": [0, 0, 0, 8, 0]}
    for backward, passed in expected.items():
        with ops.relu_backward(backward) as rectifiers:
            y, back = jax.vjp(ops.relu, x)
        assert y.tolist() == [0, 3, 0, 4, 0]
        assert back(cotangent)[0].tolist() == passed, backward
        assert rectifiers.count == 1
    assert not ops.has_relu_backward()
    with (
        pytest.raises(ValueError, match="'deconv': expected one of gradient, deconvnet, guided"),
        ops.relu_backward("deconv"),
    ):
        pass


def correlate(x, kernel):
    size = [n - k + 1 for n, k in zip(x.shape, kernel.shape, strict=True)]
    return np.array(
        [
            [(x[i : i + kernel.shape[0], j : j + kernel.shape[1]] * kernel).sum() for j in range(size[1])]
            for i in range(size[0])
        ]
    )


def spread(signal, kernel):
    """The transposed convolution: every value puts a copy of the kernel where its window was."""
    out = np.zeros([n + k - 1 for n, k in zip(signal.shape, kernel.shape, strict=True)])
    for i, j in np.ndindex(signal.shape):
        out[i : i + kernel.shape[0], j : j + kernel.shape[1]] += signal[i, j] * kernel
    return out


@pytest.mark.parametrize("seed", range(6))
def test_deconvnet_is_zeilers_and_fergus(seed):
    """Convolution, ReLU, overlapping max pooling with ties, convolution; then their figure 1 upside down, by hand."""
    rng = np.random.default_rng(seed)
    image = rng.integers(-2, 3, (9, 9)).astype(np.float32)
    first, second = (rng.integers(-2, 3, size).astype(np.float32) for size in ((3, 3), (2, 2)))
    maps = correlate(image, first)  # 7x7
    rectified = np.maximum(maps, 0)
    pooled, switches, ties = np.zeros((3, 3)), {}, 0
    for i, j in np.ndindex(3, 3):
        window = rectified[2 * i : 2 * i + 3, 2 * j : 2 * j + 3]
        ties += (window == window.max()).sum() > 1
        row, column = np.unravel_index(np.argmax(window), (3, 3))
        pooled[i, j], switches[i, j] = window.max(), (2 * i + row, 2 * j + column)
    top = correlate(pooled, second)
    unit = tuple(map(int, np.unravel_index(np.argmax(np.abs(top)), top.shape)))
    alone = np.zeros(top.shape)
    alone[unit] = 1
    unpooled = np.zeros((7, 7))
    for place, signal in np.ndenumerate(spread(alone, second)):
        unpooled[switches[place]] += signal
    expected = {
        "gradient": spread(unpooled * (maps > 0), first),
        "deconvnet": spread(np.maximum(unpooled, 0), first),
        "guided": spread(np.maximum(unpooled, 0) * (maps > 0), first),
    }
    assert ties

    def network(x):
        maps = ops.relu(ops.conv2d(x, jnp.asarray(first)[..., None, None], padding="VALID"))
        pooled = ops.max_pool(maps, 3, strides=2)
        return ops.conv2d(pooled, jnp.asarray(second)[..., None, None], padding="VALID")

    for backward, signal in expected.items():
        with ops.relu_backward(backward):
            y, (pulled,) = pull_back(
                network, jnp.asarray(alone, jnp.float32)[None, :, :, None], jnp.asarray(image)[None, :, :, None]
            )
        assert y[0, :, :, 0].tolist() == top.tolist()
        assert pulled[0, :, :, 0].tolist() == signal.tolist(), backward


@pytest.mark.parametrize("backward", ["gradient", "deconvnet", "guided"])
@pytest.mark.parametrize("features", [2, 40])  # of few and of many channels, which are fused in two ways
def test_the_fused_stage_has_the_same_backward_pass(backward, features):
    rng = np.random.default_rng(features)
    x, kernel, bias = (
        jnp.asarray(rng.integers(-3, 4, shape), jnp.float32)
        for shape in ((2, 8, 9, features), (3, 3, features, 4), (4,))
    )

    def apart(x):
        return ops.max_pool(ops.relu(ops.conv2d(x, kernel) + bias), 2)

    def fused(x):
        return ops.conv2d_relu_max_pool(x, kernel, bias)

    cotangent = jnp.asarray(rng.integers(-5, 6, (2, 4, 4, 4)), jnp.float32)
    signals = []
    for function in (apart, fused):
        with ops.relu_backward(backward) as rectifiers:
            y, (signal,) = pull_back(function, cotangent, x)
        assert rectifiers.count == 1
        signals.append((y.tolist(), signal.tolist()))
    assert np.any(signals[0][1])
    assert signals[0] == signals[1]
