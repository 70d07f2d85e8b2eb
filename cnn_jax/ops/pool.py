"""Max, average and min pooling, unpooling and global pooling."""

from __future__ import annotations

import dataclasses
import functools
import math
import operator

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float, Int32

from cnn_jax.ops.padding import (
    GeometryError,
    IntPair,
    Padding,
    Pads,
    effective_window,
    output_sizes,
    pair,
    resolve_padding,
)
from cnn_jax.ops.platform import platform
from cnn_jax.ops.windows import MANY_TAPS, Windows
from cnn_jax.padding_dialects import POOL_DIALECTS, border_mode


@jax.named_scope("pooling")
def max_pool(
    x: Float[Array, "b h w c"],
    window: IntPair,
    *,
    strides: IntPair | None = None,
    padding: Padding = "VALID",
    dilation: IntPair = 1,
    ceil_mode: bool = False,
) -> Float[Array, "b oh ow c"]:
    """Returns the maximum of each window, ignoring the padding.

    Args:
      x: Feature maps, channels last.
      window: Pixels, (height, width) or one number for both.
      strides: Pixels between windows; None is the window.
      padding: Any dialect of `resolve_padding` except the border dialects.
      dilation: Pixels between the window's pixels, (height, width) or one number for both.
      ceil_mode: Whether the last window may extend beyond the padded input, as in PyTorch; it pools the rest.

    Returns:
      Feature maps; `output_sizes` gives oh and ow. The gradient goes to the first maximum of each window in row-major
      order, as in PyTorch.

    Raises:
      GeometryError: If the window exceeds the padded input, or lies entirely in the padding.
      ValueError: If an option is not legal.
    """
    windows, _ = _windows(x, window, strides, padding, dilation, ceil_mode)
    # XLA's gradient moves a third of the bytes on TPUs, and on CPU many slices compile for minutes. Its ties go to the
    # first maximum too.
    if platform() == "tpu" or (platform() == "cpu" and math.prod(windows.taps) > MANY_TAPS):
        taps, strides, dilations = ((1, *each, 1) for each in (windows.taps, windows.strides, windows.dilation))
        pads = ((0, 0), *windows.pads, (0, 0))
        return lax.reduce_window(x, -jnp.inf, lax.max, taps, strides, pads, window_dilation=dilations)
    return _first_max(x, windows)


@jax.named_scope("pooling")
def max_pool_with_argmax(
    x: Float[Array, "b h w c"],
    window: IntPair,
    *,
    strides: IntPair | None = None,
    padding: Padding = "VALID",
    dilation: IntPair = 1,
    ceil_mode: bool = False,
) -> tuple[Float[Array, "b oh ow c"], Int32[Array, "b oh ow c"]]:
    """Max pooling that also returns the position of each maximum, the switches of a deconvolutional network.

    Args:
      x, window, strides, padding, dilation, ceil_mode: As for `max_pool`.

    Returns:
      (feature maps as from `max_pool`, pixel indices row * w + column within each channel's map of x, as from
      PyTorch's `return_indices`). Ties take the first pixel in row-major order.

    Raises:
      GeometryError, ValueError: As `max_pool`.
    """
    windows, _ = _windows(x, window, strides, padding, dilation, ceil_mode)
    _, argmax = _max_and_argmax(lax.stop_gradient(x), windows)
    pixels = [
        np.arange(outputs)[:, None] * stride + np.arange(taps) * gap - low
        for outputs, stride, taps, gap, (low, _) in zip(
            windows.outputs, windows.strides, windows.taps, windows.dilation, windows.pads, strict=True
        )
    ]
    # If a whole window is -inf, the argmax may lie in the padding; clipping moves it to an edge pixel, also -inf.
    down, across = (jnp.asarray(each.clip(0, n - 1), jnp.int32) for each, n in zip(pixels, x.shape[1:3], strict=True))
    argmax = argmax.astype(jnp.int32)
    row = jnp.take_along_axis(down[None, :, None, :], argmax // windows.taps[1], axis=-1)
    column = jnp.take_along_axis(across[None, None, :, :], argmax % windows.taps[1], axis=-1)
    pooled = max_pool(x, window, strides=strides, padding=padding, dilation=dilation, ceil_mode=ceil_mode)
    return pooled, row * x.shape[2] + column


@jax.named_scope("pooling")
def max_unpool(
    y: Float[Array, "b oh ow c"], argmax: Int32[Array, "b oh ow c"], size: IntPair
) -> Float[Array, "b h w c"]:
    """Writes each value to the position that max pooling took it from; all other pixels are 0.

    Args:
      y: One value for each window.
      argmax: Pixel indices from `max_pool_with_argmax`; the result for others is undefined.
      size: Pixels of the result, (height, width) or one number for both.

    Returns:
      Feature maps. If windows share their maximum, the last window's value is written, as by PyTorch's
      `max_unpool2d`; the gradient of `max_pool` gives the sum instead.

    Raises:
      ValueError: If y and argmax differ in shape.

    Source: Zeiler and Fergus, "Visualizing and Understanding Convolutional Networks", 2014, section 2.1.
    """
    if y.shape != argmax.shape:
        raise ValueError(f"argmax has the shape {argmax.shape}, expected that of the values, {y.shape}")
    height, width = pair(size, "size")
    batch, _, _, channels = y.shape
    values, pixels = (jnp.moveaxis(each.reshape(batch, -1, channels), 2, 1) for each in (y, argmax))
    windows = jnp.arange(1, values.shape[-1] + 1)

    def one_map(values: Array, pixels: Array) -> Array:
        last = jnp.zeros(height * width, windows.dtype).at[pixels].max(windows)
        kept = jnp.where(last[pixels] == windows, values, 0)
        return jnp.zeros(height * width, y.dtype).at[pixels].add(kept)

    maps = jax.vmap(jax.vmap(one_map))(values, pixels)
    return jnp.moveaxis(maps.reshape(batch, channels, height, width), 1, 3)


def min_pool(
    x: Float[Array, "b h w c"],
    window: IntPair,
    *,
    strides: IntPair | None = None,
    padding: Padding = "VALID",
    dilation: IntPair = 1,
    ceil_mode: bool = False,
) -> Float[Array, "b oh ow c"]:
    """Returns the minimum of each window; arguments, result and errors as for `max_pool`."""
    return -max_pool(-x, window, strides=strides, padding=padding, dilation=dilation, ceil_mode=ceil_mode)


@jax.named_scope("pooling")
def avg_pool(
    x: Float[Array, "b h w c"],
    window: IntPair,
    *,
    strides: IntPair | None = None,
    padding: Padding = "VALID",
    dilation: IntPair = 1,
    ceil_mode: bool = False,
    count_include_pad: bool = False,
) -> Float[Array, "b oh ow c"]:
    """Returns the mean of each window; result and errors as for `max_pool`.

    Args:
      x, window, strides, padding, dilation, ceil_mode: As for `max_pool`.
      count_include_pad: Whether padding counts as zeros (PyTorch's default) or is excluded from the mean
        (TensorFlow's behaviour). The part of a ceil_mode window beyond the padding is always excluded.
    """
    windows, pads = _windows(x, window, strides, padding, dilation, ceil_mode)
    total = _sums(x, windows)
    if windows.pads == (pads if count_include_pad else ((0, 0), (0, 0))):
        return total / math.prod(windows.taps)
    counted = jnp.ones((1, *x.shape[1:3], 1), x.dtype)
    if count_include_pad:
        counted = jnp.pad(counted, ((0, 0), *pads, (0, 0)), constant_values=1)
        beyond = [(0, wide[1] - sides[1]) for wide, sides in zip(windows.pads, pads, strict=True)]
        windows = dataclasses.replace(windows, pads=(beyond[0], beyond[1]))
    return total / _sums(counted, windows)


def _sums(x: Array, windows: Windows) -> Array:
    if math.prod(windows.taps) <= MANY_TAPS:
        return functools.reduce(operator.add, windows.slices(x))
    taps, strides, dilations = ((1, *each, 1) for each in (windows.taps, windows.strides, windows.dilation))
    pads = ((0, 0), *windows.pads, (0, 0))
    return lax.reduce_window(x, np.zeros((), x.dtype), lax.add, taps, strides, pads, window_dilation=dilations)


@jax.named_scope("pooling")
def global_max_pool(x: Float[Array, "b h w c"]) -> Float[Array, "b c"]:
    """Returns the maximum of each map; the gradient is split evenly among ties."""
    return jnp.max(x, axis=(1, 2))


@jax.named_scope("pooling")
def global_avg_pool(x: Float[Array, "b h w c"]) -> Float[Array, "b c"]:
    """Returns the mean of each map."""
    return jnp.mean(x, axis=(1, 2))


@jax.named_scope("pooling")
def adaptive_avg_pool(x: Float[Array, "b h w c"], size: IntPair) -> Float[Array, "b oh ow c"]:
    """Average pooling to a given output size, as PyTorch's `adaptive_avg_pool2d`.

    Output i of o is the mean of the pixels from floor(i n / o) to ceil((i + 1) n / o) of n. Adjacent windows overlap by
    a pixel if o does not divide n, and pixels are repeated if o exceeds n.

    Args:
      x: Feature maps, channels last.
      size: Output size, (height, width) or one number for both.

    Returns:
      Feature maps.
    """
    rows, columns = (
        jnp.asarray(adaptive_shares(n, outputs), x.dtype)
        for n, outputs in zip(x.shape[1:3], pair(size, "size"), strict=True)
    )
    means_of_rows = jnp.tensordot(x, rows, axes=(1, 1))  # b w c oh
    return jnp.tensordot(means_of_rows, columns, axes=(1, 1)).transpose(0, 2, 3, 1)


def adaptive_shares(pixels: int, outputs: int) -> Float[np.ndarray, "outputs pixels"]:
    """Returns the weight of each pixel in each output of `adaptive_avg_pool` along one axis; rows sum to 1.

    Args:
      pixels: Input size along the axis.
      outputs: Output size along the axis.
    """
    i, positions = np.arange(outputs)[:, None], np.arange(pixels)
    inside = (positions >= i * pixels // outputs) & (positions < -(-(i + 1) * pixels // outputs))
    shares: np.ndarray = inside / inside.sum(axis=1, keepdims=True)
    return shares


def _windows(
    x: Array, window: IntPair, strides: IntPair | None, padding: Padding, dilation: IntPair, ceil_mode: bool
) -> tuple[Windows, tuple[Pads, Pads]]:
    """Returns the windows, with ceil_mode's extension as padding at the end, and the padding without the extension."""
    if border_mode(padding):
        raise ValueError(f"padding={padding!r}: pooling takes {', '.join(POOL_DIALECTS)}, an integer or pads")
    taps = pair(window, "window")
    strides, dilations = taps if strides is None else pair(strides, "strides"), pair(dilation, "dilation")
    size = (x.shape[1], x.shape[2])
    outputs = output_sizes(size, taps, strides, padding, dilations, ceil_mode)
    pads = resolve_padding(padding, size, taps, strides, dilations)
    spans = tuple(map(effective_window, taps, dilations))
    for sides, span in zip(pads, spans, strict=True):
        if max(sides) >= span:
            raise GeometryError(
                f"padding {padding!r} lets windows of {span} lie wholly in the padding; "
                f"use a padding below {span}, or SAME"
            )
    for n, count, stride, tap, gap, (low, _) in zip(size, outputs, strides, taps, dilations, pads, strict=True):
        pixels = np.arange(count)[:, None] * stride + np.arange(tap) * gap - low
        if gap > 1 and not ((pixels >= 0) & (pixels < n)).any(axis=1).all():
            raise GeometryError(
                f"a window of {tap} pixels, {gap} apart, lies wholly in the padding {padding!r} of {n} pixels; "
                "use a smaller dilation or a smaller padding"
            )
    top_bottom, left_right = (
        (low, max(high, (count - 1) * stride + span - n - low))
        for (low, high), count, stride, span, n in zip(pads, outputs, strides, spans, size, strict=True)
    )
    return Windows(taps, strides, dilations, (top_bottom, left_right), outputs), pads


_Pairs = list[tuple[int, int]]  # (tap, window) pairs


@dataclasses.dataclass(frozen=True)
class _Readers:
    """Windows that read each pixel along one axis.

    Attributes:
      pairs: The (tap, window) pairs that read each of the first `stride` pixels, with windows counted from the first
        one added. The pixel k strides further is read by the same taps of the windows k further.
      added: Number of empty windows added before and after the existing ones.
      count: Number of strides that cover the pixels.
    """

    pairs: list[_Pairs]
    added: Pads
    count: int

    @classmethod
    def of(cls, pixels: int, taps: int, stride: int, dilation: int, pads: Pads, outputs: int) -> _Readers:
        """Finds the windows that read each pixel of an axis."""
        count = -(-pixels // stride)

        def readers(pixel: int) -> _Pairs:
            starts = [(tap, pixel + pads[0] - tap * dilation) for tap in range(taps)]  # first pixel of the window
            return [(tap, start // stride) for tap, start in starts if start % stride == 0]

        pairs = [readers(pixel) for pixel in range(min(stride, pixels))]
        windows = [window for each in pairs for _, window in each]
        before, after = max(0, -min(windows)), max(0, max(windows) + count - outputs)
        return cls([[(tap, before + window) for tap, window in each] for each in pairs], (before, after), count)


@functools.partial(jax.custom_vjp, nondiff_argnums=(1,))
def _first_max(x: Array, windows: Windows) -> Array:
    return functools.reduce(jnp.maximum, windows.slices(x, fill=-jnp.inf))


def _max_and_argmax(x: Array, windows: Windows) -> tuple[Array, Array]:
    """Returns the maximum of each window and the index of the first tap that reads it."""
    first, *others = windows.slices(x, fill=-jnp.inf)
    maximum, argmax = first, jnp.zeros(first.shape, jnp.int8 if len(others) < 128 else jnp.int32)
    for number, tap in enumerate(others, start=1):
        argmax = jnp.where(tap > maximum, jnp.asarray(number, argmax.dtype), argmax)
        maximum = jnp.maximum(maximum, tap)
    return maximum, argmax


def _first_max_forward(x: Array, windows: Windows) -> tuple[Array, tuple[Array, Array]]:
    maximum, argmax = _max_and_argmax(x, windows)
    # Without the barrier XLA would recompute the argmax for each of its readers.
    maximum, argmax = lax.optimization_barrier((maximum, argmax))
    # The backward pass needs only the images' size: an empty array carries it.
    return maximum, (argmax, jnp.zeros((0, *x.shape[1:]), x.dtype))


def _first_max_backward(windows: Windows, saved: tuple[Array, Array], gradient: Array) -> tuple[Array]:
    """Gathers each pixel's gradient from the windows that read it, as slices that the compiler vectorizes.

    Pixels a stride apart are read through the same taps, so the gradient interleaves one grid per offset in a stride.
    """
    argmax, like = saved
    batch, (rows, columns), channels = gradient.shape[0], like.shape[1:3], like.shape[3]
    down, across = (
        _Readers.of(*sizes)
        for sizes in zip(
            (rows, columns),
            windows.taps,
            windows.strides,
            windows.dilation,
            windows.pads,
            windows.outputs,
            strict=True,
        )
    )
    pads = ((0, 0), down.added, across.added, (0, 0))
    gradient, argmax = lax.optimization_barrier((jnp.pad(gradient, pads), jnp.pad(argmax, pads, constant_values=-1)))

    def grid(pairs_down: _Pairs, pairs_across: _Pairs) -> Array:
        total = jnp.zeros((batch, down.count, across.count, channels), like.dtype)
        for row, top in pairs_down:
            for column, left in pairs_across:
                here = (slice(None), slice(top, top + down.count), slice(left, left + across.count))
                total += jnp.where(argmax[here] == row * windows.taps[1] + column, gradient[here], 0)
        return total

    grids = jnp.stack(
        [jnp.stack([grid(above, beside) for beside in across.pairs], axis=3) for above in down.pairs], axis=2
    )
    whole = grids.reshape(batch, down.count * len(down.pairs), across.count * len(across.pairs), channels)
    return (whole[:, :rows, :columns],)


_first_max.defvjp(_first_max_forward, _first_max_backward)
