"""Fused convolution, bias, ReLU and 2x2 max pooling, without the intermediate feature maps.

Bias and ReLU are monotonic, so they commute with the maximum and are applied after it, to a quarter of the values.
Convolution outputs that no pooling window covers are never computed.
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
from cnn_jax.ops.conv import accumulation_dtype, conv2d
from cnn_jax.ops.padding import Padding, output_sizes, resolve_padding
from cnn_jax.ops.platform import platform
from cnn_jax.ops.pool import max_pool
from cnn_jax.padding_dialects import border_mode

_PATCH = 64  # `phases` beats separate steps for patches of at most this many entries
_NONE = 4  # argmax of a window whose maximum ReLU cuts to 0: no gradient


def conv2d_relu_max_pool(
    x: Float[Array, "b h w c"],
    kernel: Float[Array, "kh kw c o"],
    bias: Float[Array, " o"],
    *,
    padding: Padding = "SAME",
    lowering: Lowering = "auto",
) -> Float[Array, "b oh ow o"]:
    """Computes max_pool(relu(conv2d(x, kernel, padding=padding) + bias), 2).

    Args:
      x: Images, channels last.
      kernel: Weights; the stride is 1.
      bias: Bias of each feature.
      padding: Padding of the convolution, any dialect of `resolve_padding`.
      lowering: As for `conv2d`. Only "auto" on CPU fuses the steps, and only outside `relu_backward`.

    Returns:
      Feature maps of half the convolution's height and width, rounded down. They equal the separate steps up to
      rounding; where rounding makes two of four values equal only after the bias, the gradient may go to the other.

    Raises:
      GeometryError: If the kernel exceeds its padded input, or no pooling window fits.
      ValueError: If channels or options do not match.
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
    dtype = accumulation_dtype(x)
    return _fused(engine, used.astype(dtype), kernel.astype(dtype), bias.astype(dtype)).astype(x.dtype)


def _engine(kernel_shape: tuple[int, ...]) -> ModuleType | None:
    kh, kw, channels, _ = kernel_shape
    if (kh + 1) * (kw + 1) * channels <= _PATCH:
        return phases
    return winograd if (kh, kw) == (3, 3) else None


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def _fused(engine: ModuleType, x: Array, kernel: Array, bias: Array) -> Array:
    return _forward(engine, x, kernel, bias)[0]


def _forward(engine: ModuleType, x: Array, kernel: Array, bias: Array) -> tuple[Array, tuple[Array, ...]]:
    def work(images: Array) -> tuple[tuple[Array, Array], tuple[()]]:
        (a, b), (c, d) = engine.outputs(images, kernel)
        largest = functools.reduce(jnp.maximum, (a, b, c, d))
        y = relu(largest + bias)
        argmax = jnp.where(a == largest, 0, jnp.where(b == largest, 1, jnp.where(c == largest, 2, 3)))
        return lax.optimization_barrier((y, jnp.where(y > 0, argmax, _NONE))), ()

    (y, argmax), _ = map_chunks(work, _chunks(engine, x, kernel), x)
    return y, (x, kernel, argmax)


def _backward(engine: ModuleType, saved: tuple[Array, ...], gradient: Array) -> tuple[Array, Array, Array]:
    x, kernel, argmax = saved

    def work(images: Array, argmax: Array, cotangent: Array) -> tuple[Array, tuple[Array, Array]]:
        cotangent = lax.optimization_barrier(cotangent)
        cotangents = [[jnp.where(argmax == 2 * i + j, cotangent, 0) for j in range(2)] for i in range(2)]
        to_x, to_kernel = engine.gradients(images, kernel, cotangents)
        return to_x, (to_kernel, jnp.sum(jnp.where(argmax == _NONE, 0, cotangent), axis=(0, 1, 2)))

    to_x, (to_kernel, to_bias) = map_chunks(work, _chunks(engine, x, kernel), x, argmax, gradient)
    return to_x, to_kernel, to_bias


_fused.defvjp(_forward, _backward)


def _chunks(engine: ModuleType, x: Array, kernel: Array) -> int:
    if engine is winograd:
        return winograd.chunks(x, kernel)
    kh, kw, channels, features = kernel.shape
    values = (kh + 1) * (kw + 1) * channels + 4 * features
    return chunk_count(x.shape[0], x.shape[1] * x.shape[2] // 4 * values * x.dtype.itemsize)
