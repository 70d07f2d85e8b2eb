"""Convolution as a matrix product (im2col): each window's pixels form a row, multiplied by the kernel."""

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
    """Convolves images with a kernel; the backward pass rebuilds the patches instead of storing them.

    Args:
      x: Images.
      kernel: Weights.
      windows: Geometry of the convolution.
      bfloat16: Whether the float32 inputs hold bfloat16 values. They are then multiplied as bfloat16 and summed in
        float32, except in the kernel's gradient, where XLA gains nothing from it.

    Returns:
      Feature maps.
    """
    weights = kernel.reshape(-1, kernel.shape[-1])

    def work(images: Array) -> tuple[Array, tuple[()]]:
        # Two axes: XLA would copy the operands of a product with more.
        rows = windows.patches(images).reshape(-1, weights.shape[0])
        return _product(rows, weights, 0, bfloat16).reshape(-1, *windows.outputs, weights.shape[1]), ()

    y: Array = map_chunks(work, _chunks(x, kernel, windows), x)[0]
    return y


def _forward(x: Array, kernel: Array, windows: Windows, bfloat16: bool) -> tuple[Array, tuple[Array, Array]]:
    return conv(x, kernel, windows, bfloat16), (x, kernel)


def _backward(windows: Windows, bfloat16: bool, saved: tuple[Array, Array], gradient: Array) -> tuple[Array, Array]:
    x, kernel = saved
    weights = kernel.reshape(-1, kernel.shape[-1])

    def work(images: Array, cotangent: Array) -> tuple[Array, Array]:
        patches, spread = jax.vjp(windows.patches, images)
        # Without the barriers XLA would recompute the products' operands and results in every adjacent fusion.
        rows, cotangents = lax.optimization_barrier(
            (patches.reshape(-1, weights.shape[0]), cotangent.reshape(-1, weights.shape[1]))
        )
        to_rows = _product(cotangents, weights, 1, bfloat16)
        return spread(lax.optimization_barrier(to_rows).reshape(patches.shape))[0], _weight_gradient(rows, cotangents)

    to_x, to_weights = map_chunks(work, _chunks(x, kernel, windows), x, gradient)
    return to_x, to_weights.reshape(kernel.shape)


conv.defvjp(_forward, _backward)


def _product(rows: Array, weights: Array, axis: int, bfloat16: bool) -> Array:
    """Contracts the rows' last axis with an axis of the weights."""
    dtype = rows.dtype
    if bfloat16:
        rows, weights = rows.astype(jnp.bfloat16), weights.astype(jnp.bfloat16)
    return lax.dot_general(rows, weights, (((1,), (axis,)), ((), ())), preferred_element_type=dtype)


def _weight_gradient(rows: Array, cotangent: Array) -> Array:
    """Returns rows.T @ cotangent, the gradient of the weights in rows @ weights.

    XLA's CPU product over first axes is up to 1.2 times faster with the narrower operand first; the barrier keeps
    XLA from swapping them back.
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
        return 1  # the pixels themselves are the rows
    return chunk_count(x.shape[0], rows * (width + kernel.shape[-1]) * x.dtype.itemsize)
