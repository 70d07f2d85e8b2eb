"""Members of an ensemble by `jax.vmap`, as GPU programs compute them, against each member by itself."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnn_jax import ops
from cnn_jax.ops.platform import building_for

GEOMETRIES = [{"strides": 2, "padding": "SAME"}, {"strides": (1, 2), "padding": 1, "dilation": (2, 1)}]


def loss(x, kernel, cotangent, geometry):
    return jnp.sum(ops.conv2d(x, kernel, **geometry) * cotangent)


@pytest.mark.parametrize("geometry", GEOMETRIES)
@pytest.mark.parametrize("shared", [(), ("images",), ("cotangent",)])
def test_gradients_of_members(geometry, shared):
    rng = np.random.default_rng(0)
    x = jnp.asarray(rng.standard_normal((3, 2, 7, 6, 4)), jnp.float32)
    kernel = jnp.asarray(rng.standard_normal((3, 3, 2, 4, 5)), jnp.float32)
    size = ops.conv2d(x[0], kernel[0], **geometry).shape
    cotangent = jnp.asarray(rng.standard_normal((3, *size)), jnp.float32)
    x, cotangent = (x[0] if "images" in shared else x), (cotangent[0] if "cotangent" in shared else cotangent)
    axes = (None if "images" in shared else 0, 0, None if "cotangent" in shared else 0)
    gradients = jax.grad(lambda *arrays: loss(*arrays, geometry), argnums=(0, 1))
    with building_for("gpu"):
        ours = jax.vmap(gradients, axes)(x, kernel, cotangent)
    for member in range(3):
        arguments = (
            array if axis is None else array[member] for array, axis in zip((x, kernel, cotangent), axes, strict=True)
        )
        alone = gradients(*arguments)  # by another lowering, as on this machine's CPU
        for found, expected in zip(ours, alone, strict=True):
            np.testing.assert_allclose(found[member], expected, rtol=1e-4, atol=1e-4)
