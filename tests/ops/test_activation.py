"""The rectified linear unit beside JAX's own."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

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
