"""Pooling: the largest, mean or smallest value of each window."""

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

from cnn_jax.convolution_choices import POOL_DIALECTS, border_mode
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
    """The largest value of each window; padding never wins.

    Args:
      x: feature maps, channels last.
      window: pixels, (height, width) or one number for both.
      strides: pixels between windows; None is the window.
      padding: any dialect of `resolve_padding` but the borders.
      dilation: pixels between the window's pixels, (height, width) or one number for both.
      ceil_mode: whether a last window may reach beyond the padded input, as in PyTorch; it sees what is there.

    Returns:
      Feature maps; oh and ow by `output_sizes`. A gradient goes to the first largest value of its window, row
      by row, as PyTorch's does.

    Raises:
      GeometryError: where the window exceeds its padded input, or lies wholly in padding.
      ValueError: where an option does not fit.
    """
    windows, _ = _windows(x, window, strides, padding, dilation, ceil_mode)
    # TPUs' own gradient moves a third of the bytes; on CPU many slices compile for minutes. Ties go to the first too.
    if platform() == "tpu" or (platform() == "cpu" and math.prod(windows.taps) > MANY_TAPS):
        taps, steps, apart = ((1, *each, 1) for each in (windows.taps, windows.strides, windows.dilation))
        pads = ((0, 0), *windows.pads, (0, 0))
        return lax.reduce_window(x, -jnp.inf, lax.max, taps, steps, pads, window_dilation=apart)
    return _first_largest(x, windows)


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
    """Max pooling, and the pixel that each largest value comes from: the switches of a deconvolutional network.

    Args:
      x, window, strides, padding, dilation, ceil_mode: as for `max_pool`.

    Returns:
      (feature maps as of `max_pool`, pixel numbers row * w + column within each map of x). The first pixel of equal
      ones, row by row. They are numbered as by PyTorch's `return_indices`, a number for each channel's own map.

    Raises:
      As `max_pool`.
    """
    windows, _ = _windows(x, window, strides, padding, dilation, ceil_mode)
    _, place = _largest_and_place(lax.stop_gradient(x), windows)
    pixels = [
        np.arange(outputs)[:, None] * step + np.arange(taps) * apart - low
        for outputs, step, taps, apart, (low, _) in zip(
            windows.outputs, windows.strides, windows.taps, windows.dilation, windows.pads, strict=True
        )
    ]
    # Padding wins where a whole window is -inf; then the pixel at the edge, which is -inf as well, is named.
    down, across = (jnp.asarray(each.clip(0, n - 1), jnp.int32) for each, n in zip(pixels, x.shape[1:3], strict=True))
    place = place.astype(jnp.int32)
    row = jnp.take_along_axis(down[None, :, None, :], place // windows.taps[1], axis=-1)
    column = jnp.take_along_axis(across[None, None, :, :], place % windows.taps[1], axis=-1)
    pooled = max_pool(x, window, strides=strides, padding=padding, dilation=dilation, ceil_mode=ceil_mode)
    return pooled, row * x.shape[2] + column


@jax.named_scope("pooling")
def max_unpool(
    y: Float[Array, "b oh ow c"], argmax: Int32[Array, "b oh ow c"], size: IntPair
) -> Float[Array, "b h w c"]:
    """Puts values back where max pooling took them from; all other pixels are 0.

    Source: Zeiler and Fergus, "Visualizing and Understanding Convolutional Networks" (2014), section 2.1.

    Args:
      y: one value for each window.
      argmax: pixel numbers of `max_pool_with_argmax`; others are undefined.
      size: pixels of the result, (height, width) or one number for both.

    Returns:
      Maps. Where windows share their largest pixel, the last window's value stands there, as with PyTorch's
      `max_unpool2d`; the gradient of `max_pool` gives the sum instead.

    Raises:
      ValueError: where y and argmax differ in shape.
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
    """The smallest value of each window; arguments, result and errors as `max_pool`."""
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
    """The mean of each window; arguments, result and errors as `max_pool`.

    Args:
      x, window, strides, padding, dilation, ceil_mode: as for `max_pool`.
      count_include_pad: whether padding counts as zeros (PyTorch's default) or is left out of the mean
        (TensorFlow's). What a window of ceil_mode has beyond the padding never counts.
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
    """The sum of each window."""
    if math.prod(windows.taps) <= MANY_TAPS:
        return functools.reduce(operator.add, windows.slices(x))
    taps, steps, apart = ((1, *each, 1) for each in (windows.taps, windows.strides, windows.dilation))
    pads = ((0, 0), *windows.pads, (0, 0))
    return lax.reduce_window(x, np.zeros((), x.dtype), lax.add, taps, steps, pads, window_dilation=apart)


@jax.named_scope("pooling")
def global_max_pool(x: Float[Array, "b h w c"]) -> Float[Array, "b c"]:
    """The largest value of each map. A gradient is shared evenly by equal largest values."""
    return jnp.max(x, axis=(1, 2))


@jax.named_scope("pooling")
def global_avg_pool(x: Float[Array, "b h w c"]) -> Float[Array, "b c"]:
    """The mean of each map."""
    return jnp.mean(x, axis=(1, 2))


@jax.named_scope("pooling")
def adaptive_avg_pool(x: Float[Array, "b h w c"], size: IntPair) -> Float[Array, "b oh ow c"]:
    """Means over windows that cut a map of any size into a grid of the size wanted, as PyTorch's does.

    Output i of o sees the pixels from floor(i n / o) to ceil((i + 1) n / o) of n: neighbouring windows overlap by a
    pixel where o does not divide n, and pixels are repeated where o exceeds n.

    Args:
      x: feature maps, channels last.
      size: outputs, (height, width) or one number for both.

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
    """Gives the weight of each pixel in each mean of `adaptive_avg_pool`, along one axis.

    Args:
      pixels: Pixels of the map along the axis.
      outputs: Means along the axis.

    Returns:
      Weights, each mean's of sum 1.
    """
    numbers, places = np.arange(outputs)[:, None], np.arange(pixels)
    inside = (places >= numbers * pixels // outputs) & (places < -(-(numbers + 1) * pixels // outputs))
    shares: np.ndarray = inside / inside.sum(axis=1, keepdims=True)
    return shares


def _windows(
    x: Array, window: IntPair, strides: IntPair | None, padding: Padding, dilation: IntPair, ceil_mode: bool
) -> tuple[Windows, tuple[Pads, Pads]]:
    """How the window moves, what ceil_mode adds being padding at the end; and the padding without it."""
    if border_mode(padding):
        raise ValueError(f"padding={padding!r}: pooling takes {', '.join(POOL_DIALECTS)}, an integer or pads")
    taps = pair(window, "window")
    steps, apart = taps if strides is None else pair(strides, "strides"), pair(dilation, "dilation")
    size = (x.shape[1], x.shape[2])
    outputs = output_sizes(size, taps, steps, padding, apart, ceil_mode)
    pads = resolve_padding(padding, size, taps, steps, apart)
    spans = tuple(map(effective_window, taps, apart))
    for sides, span in zip(pads, spans, strict=True):
        if max(sides) >= span:
            raise GeometryError(
                f"padding {padding!r} lets windows of {span} lie wholly in the padding; "
                f"use a padding below {span}, or SAME"
            )
    for n, count, step, tap, gap, (low, _) in zip(size, outputs, steps, taps, apart, pads, strict=True):
        pixels = np.arange(count)[:, None] * step + np.arange(tap) * gap - low
        if gap > 1 and not ((pixels >= 0) & (pixels < n)).any(axis=1).all():
            raise GeometryError(
                f"a window of {tap} pixels, {gap} apart, lies wholly in the padding {padding!r} of {n} pixels; "
                "use a smaller dilation or a smaller padding"
            )
    top_bottom, left_right = (
        (low, max(high, (count - 1) * step + span - n - low))
        for (low, high), count, step, span, n in zip(pads, outputs, steps, spans, size, strict=True)
    )
    return Windows(taps, steps, apart, (top_bottom, left_right), outputs), pads


_Seen = list[tuple[int, int]]  # (tap, window) pairs


@dataclasses.dataclass(frozen=True)
class _Views:
    """Which windows see a pixel, along one axis.

    Attributes:
      seen: For each of the first stride pixels that there are, the (tap, window) pairs that see it, windows counted
        from the first of `beyond`; the pixel k strides on is seen by the same taps of the k-th windows after them.
      beyond: windows to add before and after those there are, which see nothing.
      count: strides that cover the pixels.
    """

    seen: list[_Seen]
    beyond: Pads
    count: int

    @classmethod
    def of(cls, pixels: int, taps: int, stride: int, dilation: int, pads: Pads, outputs: int) -> _Views:
        """Finds the windows over each pixel of an axis; `outputs` windows of so many taps move over it."""
        count = -(-pixels // stride)

        def views(pixel: int) -> _Seen:
            firsts = [(tap, pixel + pads[0] - tap * dilation) for tap in range(taps)]  # pixels where the window begins
            return [(tap, first // stride) for tap, first in firsts if first % stride == 0]

        seen = [views(pixel) for pixel in range(min(stride, pixels))]
        windows = [window for each in seen for _, window in each]
        before, after = max(0, -min(windows)), max(0, max(windows) + count - outputs)
        return cls([[(tap, before + window) for tap, window in each] for each in seen], (before, after), count)


@functools.partial(jax.custom_vjp, nondiff_argnums=(1,))
def _first_largest(x: Array, windows: Windows) -> Array:
    return functools.reduce(jnp.maximum, windows.slices(x, fill=-jnp.inf))


def _largest_and_place(x: Array, windows: Windows) -> tuple[Array, Array]:
    """The largest value of each window, and the number of the first tap that sees it."""
    first, *others = windows.slices(x, fill=-jnp.inf)
    largest, place = first, jnp.zeros(first.shape, jnp.int8 if len(others) < 128 else jnp.int32)
    for number, tap in enumerate(others, start=1):
        place = jnp.where(tap > largest, jnp.asarray(number, place.dtype), place)
        largest = jnp.maximum(largest, tap)
    return largest, place


def _first_largest_forward(x: Array, windows: Windows) -> tuple[Array, tuple[Array, Array]]:
    largest, place = _largest_and_place(x, windows)
    # Without the barrier XLA finds the places again for each of their readers.
    largest, place = lax.optimization_barrier((largest, place))
    # An array of no images tells their size, in place of the images.
    return largest, (place, jnp.zeros((0, *x.shape[1:]), x.dtype))


def _first_largest_backward(windows: Windows, saved: tuple[Array, Array], gradient: Array) -> tuple[Array]:
    """Each pixel gathers from the windows that see it: slices of arrays padded once, which the compiler vectorises.

    Pixels that are a stride apart are seen alike, so that the gradient is made of strides x strides grids.
    """
    place, like = saved
    batch, (rows, columns), channels = gradient.shape[0], like.shape[1:3], like.shape[3]
    down, across = (
        _Views.of(*sizes)
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
    pads = ((0, 0), down.beyond, across.beyond, (0, 0))
    gradient, place = lax.optimization_barrier((jnp.pad(gradient, pads), jnp.pad(place, pads, constant_values=-1)))

    def grid(seen_down: _Seen, seen_across: _Seen) -> Array:
        total = jnp.zeros((batch, down.count, across.count, channels), like.dtype)
        for row, top in seen_down:
            for column, left in seen_across:
                here = (slice(None), slice(top, top + down.count), slice(left, left + across.count))
                total += jnp.where(place[here] == row * windows.taps[1] + column, gradient[here], 0)
        return total

    grids = jnp.stack(
        [jnp.stack([grid(above, beside) for beside in across.seen], axis=3) for above in down.seen], axis=2
    )
    whole = grids.reshape(batch, down.count * len(down.seen), across.count * len(across.seen), channels)
    return (whole[:, :rows, :columns],)


_first_largest.defvjp(_first_largest_forward, _first_largest_backward)
