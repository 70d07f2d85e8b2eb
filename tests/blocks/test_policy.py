"""Activations of the mobile networks and ConvNeXt, against values that PyTorch 2.13 gives."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnn_jax.blocks import ACTIVATIONS

X = np.array([-4.0, -3.0, -1.0, 0.0, 0.5, 3.0, 6.0, 7.0], np.float32)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("relu6", [0, 0, 0, 0, 0.5, 3, 6, 6]),
        ("hard_sigmoid", [0, 0, 1 / 3, 0.5, 3.5 / 6, 1, 1, 1]),
        ("hard_swish", [0, 0, -1 / 3, 0, 0.5 * 3.5 / 6, 3, 6, 7]),
        # x times the normal distribution: of -1, 0.5 and 3 by tables 0.1586553, 0.6914625, 0.9986501
        ("gelu_exact", [-0.0001267, -0.0040497, -0.1586553, 0, 0.3457312, 2.9959502, 6, 7]),
    ],
)
def test_values(name, expected):
    np.testing.assert_allclose(ACTIVATIONS[name](jnp.asarray(X)), expected, rtol=1e-5, atol=2e-7)


def test_relu6_has_no_slope_from_6_on():
    slope = jax.vmap(jax.grad(ACTIVATIONS["relu6"]))(jnp.asarray(X))
    np.testing.assert_array_equal(slope, [0, 0, 0, 0, 1, 1, 0, 0])
