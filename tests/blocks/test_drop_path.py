"""Stochastic depth."""

import jax
import jax.numpy as jnp
import numpy as np

from cnn_jax.blocks import DropPath, drop_rates


def test_whole_images_are_left_out_and_the_mean_is_kept():
    x = jnp.ones((4000, 2, 1, 3))
    block = DropPath(0.25)
    y = np.asarray(block.apply({}, x, True, rngs={"dropout": jax.random.key(0)}))
    kept = y[:, 0, 0, 0] != 0
    np.testing.assert_allclose(y, np.broadcast_to((kept / 0.75)[:, None, None, None], y.shape), rtol=1e-6)
    # 4,000 draws of probability 3/4: within four standard deviations, 0.027, of it
    assert abs(kept.mean() - 0.75) < 0.03
    np.testing.assert_array_equal(block.apply({}, x, False), x)


def test_rates_rise_evenly():
    np.testing.assert_allclose(drop_rates(0.1, 3), (0, 0.05, 0.1))
    assert drop_rates(0.1, 1) == (0.0,)
    assert drop_rates(0.1, 0) == ()
