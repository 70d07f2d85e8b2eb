"""What is built for another kind of device than this machine's."""

import jax
import jax.numpy as jnp
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
