"""Convolution, bias, ReLU and 2x2 max pooling in one: the lecture's stage, without the maps in between.

The largest of four values is the same before and after a bias is added and negatives are cut, so these come after
the maximum, on a fourth of the values; and convolution outputs that no pooling window covers are never computed.
"""

from __future__ import annotations

import functools
from types import ModuleType

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from cnn_jax.conv_lowering import Lowering
from cnn_jax.ops import phases, winograd
from cnn_jax.ops.activation import has_relu_backward, relu
from cnn_jax.ops.chunks import chunk_count, map_chunks
from cnn_jax.ops.conv import conv2d, summed_in
from cnn_jax.ops.padding import Padding, output_sizes, resolve_padding
from cnn_jax.ops.platform import platform
from cnn_jax.ops.pool import max_pool
from cnn_jax.padding_dialects import border_mode

_PATCH = 64  # the most entries of a patch for which `phases` gains over separate steps
_NONE = 4  # the place of no gradient: nothing passed the ReLU


def conv2d_relu_max_pool(
    x: Float[Array, "b h w c"],
    kernel: Float[Array, "kh kw c o"],
    bias: Float[Array, " o"],
    *,
    padding: Padding = "SAME",
    lowering: Lowering = "auto",
) -> Float[Array, "b oh ow o"]:
    """max_pool(relu(conv2d(x, kernel, padding=padding) + bias), 2).

    Args:
      x: Images, channels last.
      kernel: Weights, moved by one pixel at a time.
      bias: Bias of each feature.
      padding: Padding of the convolution, any dialect of `resolve_padding`.
      lowering: As for `conv2d`; with "xla" and "patches" the steps are done one by one, and so they are inside of
        `relu_backward`.

    Returns:
      Feature maps, half as high and wide as the convolution's, an odd row or column left out. Equal to the steps
      done one by one but for rounding; where rounding makes two of four values equal only after the bias, a
      gradient may go to the other one.

    Raises:
      GeometryError: where the kernel exceeds its padded input, or no pooling window fits.
      ValueError: where channels or options do not fit.
    """
    kh, kw, channels, _ = kernel.shape
    size = (x.shape[1], x.shape[2])
    outputs = output_sizes(size, (kh, kw), 1, padding)
    engine = None if has_relu_backward() else _engine(kernel.shape)
    if lowering != "auto" or platform() != "cpu" or engine is None or min(outputs) < 2:
        return max_pool(relu(conv2d(x, kernel, padding=padding, lowering=lowering) + bias), 2)
    if x.shape[-1] != channels:
        raise ValueError(f"input has {x.shape[-1]} channels, kernel {kernel.shape} expects {channels}")
    pads = resolve_padding(padding, size, (kh, kw))
    mode = border_mode(padding) or "constant"
    used = jnp.pad(x, ((0, 0), *pads, (0, 0)), mode=mode)[
        :, : outputs[0] // 2 * 2 + kh - 1, : outputs[1] // 2 * 2 + kw - 1
    ]
    kind = summed_in(x)
    return _fused(engine, used.astype(kind), kernel.astype(kind), bias.astype(kind)).astype(x.dtype)


def _engine(kernel_shape: tuple[int, ...]) -> ModuleType | None:
    kh, kw, channels, _ = kernel_shape
    if (kh + 1) * (kw + 1) * channels <= _PATCH:
        return phases
    return winograd if (kh, kw) == (3, 3) else None


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def _fused(engine: ModuleType, x: Array, kernel: Array, bias: Array) -> Array:
    return _forward(engine, x, kernel, bias)[0]


def _forward(engine: ModuleType, x: Array, kernel: Array, bias: Array) -> tuple[Array, tuple[Array, ...]]:
    def work(some: Array) -> tuple[tuple[Array, Array], tuple[()]]:
        (a, b), (c, d) = engine.outputs(some, kernel)
        largest = functools.reduce(jnp.maximum, (a, b, c, d))
        y = relu(largest + bias)
        place = jnp.where(a == largest, 0, jnp.where(b == largest, 1, jnp.where(c == largest, 2, 3)))
        return lax.optimization_barrier((y, jnp.where(y > 0, place, _NONE))), ()

    (y, place), _ = map_chunks(work, _chunks(engine, x, kernel), x)
    return y, (x, kernel, place)


def _backward(engine: ModuleType, saved: tuple[Array, ...], gradient: Array) -> tuple[Array, Array, Array]:
    x, kernel, place = saved

    def work(some: Array, place: Array, cotangent: Array) -> tuple[Array, tuple[Array, Array]]:
        cotangent = lax.optimization_barrier(cotangent)
        places = [[jnp.where(place == 2 * i + j, cotangent, 0) for j in range(2)] for i in range(2)]
        to_x, to_kernel = engine.gradients(some, kernel, places)
        return to_x, (to_kernel, jnp.sum(jnp.where(place == _NONE, 0, cotangent), axis=(0, 1, 2)))

    to_x, (to_kernel, to_bias) = map_chunks(work, _chunks(engine, x, kernel), x, place, gradient)
    return to_x, to_kernel, to_bias


_fused.defvjp(_forward, _backward)


def _chunks(engine: ModuleType, x: Array, kernel: Array) -> int:
    if engine is winograd:
        return winograd.chunks(x, kernel)
    kh, kw, channels, features = kernel.shape
    values = (kh + 1) * (kw + 1) * channels + 4 * features
    return chunk_count(x.shape[0], x.shape[1] * x.shape[2] // 4 * values * x.dtype.itemsize)
