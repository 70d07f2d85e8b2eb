"""Convolution by patches of bfloat16 numbers, beside float64."""

import importlib
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnn_jax import ops

conv = importlib.import_module("cnn_jax.ops.conv")  # the package has a function of this name


@pytest.mark.parametrize("multiplies", [False, True])
def test_values_and_gradients_agree_with_float64(monkeypatch, multiplies):
    monkeypatch.setattr(conv, "multiplies_bfloat16", lambda: multiplies)
    rng = np.random.default_rng(0)
    x = jnp.asarray(rng.standard_normal((2, 7, 6, 5)), jnp.bfloat16)
    kernel = jnp.asarray(rng.standard_normal((3, 2, 5, 9)), jnp.bfloat16)
    cotangent = jnp.asarray(rng.standard_normal((2, 3, 3, 9)), jnp.bfloat16)

    def convolve(x, kernel):
        return ops.conv2d(x, kernel, strides=2, padding="VALID", lowering="patches")

    y, back = jax.vjp(convolve, x, kernel)
    to_x, to_kernel = back(cotangent)
    program = jax.jit(lambda x, kernel, g: jax.vjp(convolve, x, kernel)[1](g)).lower(x, kernel, cotangent).as_text()
    of_bfloat16 = [line for line in program.splitlines() if "dot_general" in line and re.search(r": \(.*xbf16>", line)]
    assert len(of_bfloat16) == (1 if multiplies else 0)  # the image's gradient; the result's own is not needed there

    wide, weights, gradient = (np.asarray(array, np.float64) for array in (x, kernel, cotangent))
    expected, of_x, of_kernel = np.zeros(y.shape), np.zeros(x.shape), np.zeros(kernel.shape)
    for row, column in np.ndindex(3, 3):
        window = (slice(None), slice(2 * row, 2 * row + 3), slice(2 * column, 2 * column + 2))
        expected[:, row, column] = np.einsum("bhwc,hwco->bo", wide[window], weights)
        of_x[window] += np.einsum("bo,hwco->bhwc", gradient[:, row, column], weights)
        of_kernel += np.einsum("bhwc,bo->hwco", wide[window], gradient[:, row, column])
    for found, right in ((y, expected), (to_x, of_x), (to_kernel, of_kernel)):
        assert found.dtype == jnp.bfloat16
        # Exact but for one rounding to eight bits in the end, and the sums in float32.
        assert (np.abs(np.asarray(found, np.float64) - right) <= 2.0**-8 * np.abs(right) + 1e-5).all()
