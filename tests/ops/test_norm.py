"""Local response normalisation against its formula, channel by channel."""

import jax.numpy as jnp
import numpy as np
import pytest

from cnn_jax import ops


@pytest.mark.parametrize("size", [1, 2, 5, 9])
@pytest.mark.parametrize("mean", [False, True])
def test_the_formula(size, mean):
    x = np.random.default_rng(0).standard_normal((2, 3, 2, 7)) * 10
    k, alpha, beta = 1.5, 0.3, 0.75
    expected = np.empty_like(x)
    for channel in range(7):
        around = x[..., max(0, channel - size // 2) : channel + (size - 1) // 2 + 1]
        strength = alpha / (size if mean else 1) * (around**2).sum(axis=-1)
        expected[..., channel] = x[..., channel] / (k + strength) ** beta
    result = ops.local_response_norm(jnp.asarray(x, jnp.float32), size=size, alpha=alpha, beta=beta, k=k, mean=mean)
    np.testing.assert_allclose(result, expected, rtol=2e-6, atol=1e-6)


def test_alexnets_constants_by_hand():
    # one channel of 100: 100 / (2 + 1e-4 * 100^2)^0.75 = 100 / 3^0.75
    assert float(ops.local_response_norm(jnp.full((1, 1, 1, 1), 100.0))[0, 0, 0, 0]) == pytest.approx(43.8691, rel=1e-5)


def test_no_neighbourhood():
    with pytest.raises(ValueError, match="size=0"):
        ops.local_response_norm(jnp.ones((1, 1, 1, 1)), size=0)
