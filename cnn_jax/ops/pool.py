"""Pooling: the largest, mean or smallest value of each window."""

from __future__ import annotations

import functools
import operator

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from cnn_jax.ops.padding import BORDER_MODES, GeometryError, IntPair, Padding, Pads, output_sizes, pair, resolve_padding
from cnn_jax.ops.windows import Windows


def max_pool(
    x: Float[Array, "b h w c"], window: IntPair, *, strides: IntPair | None = None, padding: Padding = "VALID"
) -> Float[Array, "b oh ow c"]:
    """The largest value of each window; padding never wins.

    Args:
      x: feature maps, channels last.
      window: pixels, (height, width) or one number for both.
      strides: pixels between windows; None is the window.
      padding: any dialect of `resolve_padding` but the borders.

    Returns:
      Feature maps; oh and ow by `output_sizes`. A gradient goes to the first largest value of its window, row
      by row, as PyTorch's does.

    Raises:
      GeometryError: where the window exceeds its padded input.
      ValueError: where an option does not fit.
    """
    taps, _ = _taps(x, window, strides, padding, fill=-jnp.inf)
    return _first_largest(taps)


def min_pool(
    x: Float[Array, "b h w c"], window: IntPair, *, strides: IntPair | None = None, padding: Padding = "VALID"
) -> Float[Array, "b oh ow c"]:
    """The smallest value of each window; arguments, result and errors as `max_pool`."""
    return -max_pool(-x, window, strides=strides, padding=padding)


def avg_pool(
    x: Float[Array, "b h w c"],
    window: IntPair,
    *,
    strides: IntPair | None = None,
    padding: Padding = "VALID",
    count_include_pad: bool = False,
) -> Float[Array, "b oh ow c"]:
    """The mean of each window; arguments, result and errors as `max_pool`.

    Args:
      x, window, strides, padding: as for `max_pool`.
      count_include_pad: whether padding counts as zeros (PyTorch's default) or is left out of the mean
        (TensorFlow's).
    """
    taps, pads = _taps(x, window, strides, padding, fill=0.0)
    total = functools.reduce(operator.add, taps)
    if count_include_pad or pads == ((0, 0), (0, 0)):
        return total / len(taps)
    ones = jnp.ones((1, *x.shape[1:3], 1), x.dtype)
    counted, _ = _taps(ones, window, strides, padding, fill=0.0)
    return total / functools.reduce(operator.add, counted)


def _taps(
    x: Array, window: IntPair, strides: IntPair | None, padding: Padding, fill: float
) -> tuple[tuple[Array, ...], tuple[Pads, Pads]]:
    if padding in BORDER_MODES:
        raise ValueError(f"padding={padding!r}: pooling takes VALID, SAME, SAME_LOWER, TORCH, an integer or pads")
    windows = pair(window, "window")
    steps = windows if strides is None else pair(strides, "strides")
    size = (x.shape[1], x.shape[2])
    outputs = output_sizes(size, windows, steps, padding)
    pads = resolve_padding(padding, size, windows, steps)
    for sides, span in zip(pads, windows, strict=True):
        if max(sides) >= span:
            raise GeometryError(
                f"padding {padding!r} lets windows of {span} lie wholly in the padding; "
                f"use a padding below {span}, or SAME"
            )
    return tuple(Windows(windows, steps, (1, 1), pads, outputs).slices(x, fill)), pads


@jax.custom_vjp
def _first_largest(taps: tuple[Array, ...]) -> Array:
    return functools.reduce(jnp.maximum, taps)


def _first_largest_forward(taps: tuple[Array, ...]) -> tuple[Array, tuple[tuple[Array, ...], Array]]:
    largest = functools.reduce(jnp.maximum, taps)
    return largest, (taps, largest)


def _first_largest_backward(saved: tuple[tuple[Array, ...], Array], gradient: Array) -> tuple[tuple[Array, ...]]:
    taps, largest = saved
    open_ = jnp.ones(largest.shape, bool)
    gradients = []
    for tap in taps:
        here = open_ & (tap == largest)
        gradients.append(jnp.where(here, gradient, 0))
        open_ &= ~here
    return (tuple(gradients),)


_first_largest.defvjp(_first_largest_forward, _first_largest_backward)
