"""Convolution as a matrix product: every window's pixels in a row, times the kernel."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from cnn_jax.ops.chunks import chunk_count, map_chunks
from cnn_jax.ops.windows import Windows


@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def conv(
    x: Float[Array, "b h w c"], kernel: Float[Array, "kh kw c o"], windows: Windows, bfloat16: bool = False
) -> Float[Array, "b oh ow o"]:
    """Convolves; the gradients build the patches again, so that none are kept in memory.

    Args:
      x: Images.
      kernel: Weights.
      windows: How the kernel moves.
      bfloat16: Whether all numbers, in float32, are bfloat16 numbers: the products are made of these, summed in
        float32, where XLA is quicker at it. For the kernel's gradient it is not.

    Returns:
      Feature maps.
    """
    weights = kernel.reshape(-1, kernel.shape[-1])

    def work(some: Array) -> tuple[Array, tuple[()]]:
        # Rows of two axes: XLA copies the inputs of products that have more.
        rows = windows.patches(some).reshape(-1, weights.shape[0])
        return _product(rows, weights, 0, bfloat16).reshape(-1, *windows.outputs, weights.shape[1]), ()

    y: Array = map_chunks(work, _chunks(x, kernel, windows), x)[0]
    return y


def _forward(x: Array, kernel: Array, windows: Windows, bfloat16: bool) -> tuple[Array, tuple[Array, Array]]:
    return conv(x, kernel, windows, bfloat16), (x, kernel)


def _backward(windows: Windows, bfloat16: bool, saved: tuple[Array, Array], gradient: Array) -> tuple[Array, Array]:
    x, kernel = saved
    weights = kernel.reshape(-1, kernel.shape[-1])

    def work(some: Array, cotangent: Array) -> tuple[Array, Array]:
        patches, spread = jax.vjp(windows.patches, some)
        # The barriers keep XLA from computing the products' inputs and outputs again in every fusion around them.
        rows, toward_rows = lax.optimization_barrier(
            (patches.reshape(-1, weights.shape[0]), cotangent.reshape(-1, weights.shape[1]))
        )
        to_rows = _product(toward_rows, weights, 1, bfloat16)
        return spread(lax.optimization_barrier(to_rows).reshape(patches.shape))[0], _rows_product(rows, toward_rows)

    to_x, to_weights = map_chunks(work, _chunks(x, kernel, windows), x, gradient)
    return to_x, to_weights.reshape(kernel.shape)


conv.defvjp(_forward, _backward)


def _product(rows: Array, weights: Array, axis: int, bfloat16: bool) -> Array:
    """The sums of rows times weights over the rows' last axis and an axis of the weights."""
    kind = rows.dtype
    if bfloat16:
        rows, weights = rows.astype(jnp.bfloat16), weights.astype(jnp.bfloat16)
    return lax.dot_general(rows, weights, (((1,), (axis,)), ((), ())), preferred_element_type=kind)


def _rows_product(rows: Array, cotangent: Array) -> Array:
    """The gradient of the weights in rows @ weights: the rows, transposed, times the gradient of the product.

    XLA's CPU product over first axes is up to 1.2 times faster with the narrower operand first; the barrier keeps
    it from turning them back.
    """
    first = (((0,), (0,)), ((), ()))
    if rows.shape[1] <= cotangent.shape[1]:
        return lax.dot_general(rows, cotangent, first)
    product: Array = lax.optimization_barrier(lax.dot_general(cotangent, rows, first))
    return product.T


def _chunks(x: Array, kernel: Array, windows: Windows) -> int:
    rows = windows.outputs[0] * windows.outputs[1]
    width = kernel.size // kernel.shape[-1]
    if windows.taps == (1, 1):
        return 1  # no patches: the pixels themselves are the rows
    return chunk_count(x.shape[0], rows * (width + kernel.shape[-1]) * x.dtype.itemsize)
