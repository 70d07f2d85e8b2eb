"""Operations built for another kind of device than this machine's."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnn_jax import ops
from cnn_jax.ops.platform import building_for, platform


def operations(x, kernel):
    def convolve(x, kernel):
        return ops.conv2d(x, kernel)

    return {equation.primitive.name for equation in jax.make_jaxpr(convolve)(x, kernel).eqns}


def test_a_convolution_for_a_tpu_is_the_compilers_own():
    x, kernel = jnp.zeros((1, 8, 8, 4), jnp.bfloat16), jnp.zeros((3, 3, 4, 4), jnp.bfloat16)
    with building_for("tpu"):
        assert platform() == "tpu"
        # half precision stays, and no barrier keeps the compiler from fusing
        assert operations(x, kernel) == {"conv_general_dilated"}
    assert platform() == jax.default_backend()
    if platform() == "cpu":
        assert "optimization_barrier" in operations(x, kernel)


def test_the_platform_comes_back_after_a_fault():
    with pytest.raises(ops.GeometryError), building_for("tpu"):
        ops.conv2d(jnp.zeros((1, 2, 2, 4)), jnp.zeros((3, 3, 4, 4)), padding="VALID")
    assert platform() == jax.default_backend()


@pytest.mark.parametrize(("window", "strides", "padding"), [(3, 1, "SAME"), (3, 2, 1), (2, 2, "VALID"), ((2, 3), 3, 1)])
def test_pooling_for_a_tpu_is_the_same(window, strides, padding):
    x = jnp.asarray(np.random.default_rng(0).integers(0, 4, (2, 9, 8, 3)), jnp.float32)  # many ties

    def values_and_gradient():
        y, back = jax.vjp(lambda x: ops.max_pool(x, window, strides=strides, padding=padding), x)
        return y, back(jnp.arange(y.size, dtype=jnp.float32).reshape(y.shape))[0]

    here = values_and_gradient()
    with building_for("tpu"):
        there = values_and_gradient()
    for ours, theirs in zip(here, there, strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("shift", [None, 999.9])
def test_statistics_for_a_tpu_are_as_exact(shift):
    x = np.random.default_rng(0).normal(1000.0, 0.1, (4, 5, 5, 3)).astype(np.float32)  # squares alone would lose all
    with building_for("tpu"):
        mean, variance = ops.batch_statistics(jnp.asarray(x), None if shift is None else jnp.full(3, shift))
    exact = x.astype(np.float64)
    np.testing.assert_allclose(mean, exact.mean((0, 1, 2)), rtol=1e-6)
    np.testing.assert_allclose(variance, exact.var((0, 1, 2)), rtol=1e-3)  # of values that float32 rounds to 6e-5
