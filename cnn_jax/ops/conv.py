"""Convolution (cross-correlation, as every network library has it) and how it is computed."""

from __future__ import annotations

import contextlib
import contextvars
import functools
import math
from collections.abc import Iterator
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from cnn_jax.conv_lowering import Lowering
from cnn_jax.ops import depthwise, member_conv, patches, space_to_depth, winograd
from cnn_jax.ops.padding import (
    GeometryError,
    IntPair,
    Padding,
    input_sizes,
    output_sizes,
    pair,
    resolve_padding,
)
from cnn_jax.ops.platform import multiplies_bfloat16, platform
from cnn_jax.ops.windows import MANY_TAPS, Windows
from cnn_jax.padding_dialects import DIALECTS, border_mode

_COLOURS = 3
_FEW_CHANNELS = 4  # of an image: matrix units stand idle for so few
_WINOGRAD_CHANNELS = 8  # with fewer, the transforms cost more than they save
_WINOGRAD_SHARE = 3 / 4  # of the definition's multiplications: the most with which it gains
# The same on one core, where xla's own convolution comes near the core's peak, but for small maps.
_ONE_CORE_CHANNELS = 128
_ONE_CORE_SHARE = 1 / 2
_SMALL_MAP = 64  # places


class _Passes(NamedTuple):
    """Lowerings of a convolution and of its gradients."""

    forward: str
    backward: str


_on_one_core: contextvars.ContextVar[bool] = contextvars.ContextVar("on_one_core", default=False)


@contextlib.contextmanager
def on_one_core() -> Iterator[None]:
    """Lets lowering "auto" choose what takes the least processor time on one core of a CPU.

    Outside, "auto" chooses what trains fastest while one program has all cores. This is for programs of which one runs
    on every core. JAX's caches do not know of it: enter it inside the function that is compiled.

    Yields:
      Nothing.
    """
    token = _on_one_core.set(True)
    try:
        yield
    finally:
        _on_one_core.reset(token)


def conv2d(
    x: Float[Array, "b h w c"],
    kernel: Float[Array, "kh kw ci o"],
    *,
    strides: IntPair = 1,
    padding: Padding = "SAME",
    dilation: IntPair = 1,
    groups: int = 1,
    lowering: Lowering = "auto",
) -> Float[Array, "b oh ow o"]:
    """Slides a kernel over images: each output is the sum of products over the kernel's window.

    Args:
      x: Images, channels last.
      kernel: Weights, ci = c / groups.
      strides: Pixels between windows, (height, width) or one number for both.
      padding: Any dialect of `resolve_padding`.
      dilation: Pixels between the kernel's taps.
      groups: Channels are split in so many groups, each with its share of the outputs; groups of one channel
        are the depthwise convolution.
      lowering: How it is computed: "xla"; "patches" (matrix products over rows of window pixels); "winograd" (3x3
        kernels of stride 1 with 4/9 of the multiplications); "space_to_depth" (strides over at most 4 channels
        by blocks of pixels as channels; all else as by auto); or "auto": xla, but on CPU what is fastest.

    Returns:
      Feature maps of x's type; oh and ow by `output_sizes`. On CPU half-precision products are summed in float32,
      as accelerators do by themselves. All lowerings agree but for rounding.

    Raises:
      GeometryError: where the kernel exceeds its padded input, or the lowering cannot compute it.
      ValueError: where channels, groups or options do not fit.
    """
    strides, dilations = pair(strides, "strides"), pair(dilation, "dilation")
    kh, kw, channels, features = kernel.shape
    if groups < 1 or x.shape[-1] != channels * groups:
        raise ValueError(
            f"input has {x.shape[-1]} channels, kernel {kernel.shape} with groups={groups} expects {channels * groups}"
        )
    if features % groups:
        raise ValueError(f"groups={groups} does not divide the kernel's {features} output features")
    size = (x.shape[1], x.shape[2])
    outputs = output_sizes(size, (kh, kw), strides, padding, dilations)
    pads = resolve_padding(padding, size, (kh, kw), strides, dilations)
    if mode := border_mode(padding):
        x = jnp.pad(x, ((0, 0), *pads, (0, 0)), mode=mode)
        pads = ((0, 0), (0, 0))
    windows = Windows((kh, kw), strides, dilations, pads, outputs)
    chosen = _choose(lowering, windows, channels, features, groups)
    kind = summed_in(x)
    maps, weights = x.astype(kind), kernel.astype(kind)
    if platform() != "cpu":
        if channels == _COLOURS and groups == 1 and x.dtype == jnp.bfloat16 and platform() == "gpu":
            # A matrix unit wants four channels or more: XLA adds a channel of zeros in float16 itself.
            maps = jnp.pad(maps, ((0, 0), (0, 0), (0, 0), (0, 1)))
            weights = jnp.pad(weights, ((0, 0), (0, 0), (0, 1), (0, 0)))
        return _LOWERINGS[chosen](maps, weights, windows, groups).astype(x.dtype)
    # The barriers keep XLA from computing what makes the maps again for every tap that reads them.
    maps = lax.optimization_barrier(maps)
    if lowering == "auto" and _on_one_core.get():
        y = _apart(maps, weights, windows, groups, _choose_on_one_core(windows, channels, features, groups))
    elif chosen == "patches" and groups == 1 and x.dtype == jnp.bfloat16 and multiplies_bfloat16():
        y = patches.conv(maps, weights, windows, True)
    else:
        y = _LOWERINGS[chosen](maps, weights, windows, groups)
    result: Array = lax.optimization_barrier(y)
    return result.astype(x.dtype)


# More than seven parameters: those of the convolution whose adjoint it is, and the size of the result.
def conv_transpose2d(
    x: Float[Array, "b oh ow o"],
    kernel: Float[Array, "kh kw ci o"],
    *,
    strides: IntPair = 1,
    padding: Padding = "SAME",
    dilation: IntPair = 1,
    groups: int = 1,
    output_size: IntPair | None = None,
    lowering: Lowering = "auto",
) -> Float[Array, "b h w c"]:
    """The adjoint of `conv2d` with the same kernel: spreads each value over the window that it came from.

    For all x and y, <conv2d(y, kernel), x> = <y, conv_transpose2d(x, kernel)>. It is what networks call a transposed
    convolution; its channels go the kernel's other way, from o to c = ci x groups.

    Args:
      x: Feature maps, channels last.
      kernel: Kernel of the convolution that is transposed.
      strides, padding, dilation, groups, lowering: Arguments of that convolution.
      output_size: Pixels of the result, (height, width) or one number, that the convolution takes to x's; None is
        s times x's for SAME and the borders (TensorFlow's choice), the least otherwise (PyTorch's).

    Returns:
      Images of that size.

    Raises:
      GeometryError: where the convolution takes no image, or not one of this size, to x's size.
      ValueError: where channels, groups or options do not fit.
    """
    strides, dilations = pair(strides, "strides"), pair(dilation, "dilation")
    if x.shape[-1] != kernel.shape[-1]:
        raise ValueError(f"input has {x.shape[-1]} channels, kernel {kernel.shape} expects {kernel.shape[-1]}")
    axes = [
        input_sizes(count, window, stride, _along(padding, axis), gap)
        for axis, (count, window, stride, gap) in enumerate(
            zip(x.shape[1:3], kernel.shape[:2], strides, dilations, strict=True)
        )
    ]
    scales = isinstance(padding, str) and DIALECTS[padding].scales
    size = tuple(axis[-1] if scales else axis[0] for axis in axes)
    if output_size is not None:
        size = pair(output_size, "output_size")
        for wanted, possible in zip(size, axes, strict=True):
            if wanted not in possible:
                raise GeometryError(f"output_size={output_size!r}: expected {possible[0]} to {possible[-1]} pixels")

    def forward(y: Array) -> Array:
        return conv2d(y, kernel, strides=strides, padding=padding, dilation=dilation, groups=groups, lowering=lowering)

    _, transposed = jax.vjp(forward, jnp.zeros((x.shape[0], *size, kernel.shape[2] * groups), x.dtype))
    result: Array = transposed(x)[0]
    return result


def _along(padding: Padding, axis: int) -> Padding:
    """The padding of one axis, as the height's."""
    return padding if isinstance(padding, str | int) else (padding[axis], padding[axis])


def summed_in(x: Array) -> jnp.dtype:
    """The type in which products of x's type are summed: x's own, or float32 for half precision on CPU."""
    half = x.dtype.itemsize < 4 and platform() == "cpu"
    return jnp.dtype(jnp.float32) if half else x.dtype


def _choose(lowering: Lowering, windows: Windows, channels: int, features: int, groups: int) -> str:
    if lowering not in _LOWERINGS and lowering != "auto":
        raise ValueError(f"lowering={lowering!r}: expected auto, {', '.join(_LOWERINGS)}")
    plain = windows.dilation == (1, 1) and groups == 1
    fits = windows.taps == (3, 3) and windows.strides == (1, 1) and plain
    if lowering == "winograd" and not fits:
        raise GeometryError(
            "lowering 'winograd' takes 3x3 kernels of stride 1, undilated and ungrouped; use lowering auto or patches"
        )
    if lowering == "patches" and math.prod(windows.taps) > 4 * MANY_TAPS:
        raise GeometryError(
            f"lowering 'patches' takes windows of at most {4 * MANY_TAPS:,} taps, and this one has "
            f"{math.prod(windows.taps):,}; use lowering auto or xla, or a smaller kernel"
        )
    if lowering == "space_to_depth" and not (plain and max(windows.strides) > 1 and channels <= _FEW_CHANNELS):
        lowering = "auto"
    if lowering != "auto":
        return lowering
    if platform() != "cpu" or math.prod(windows.taps) > MANY_TAPS:
        return "xla"
    rows, columns = windows.outputs
    saves = 16 * -(-rows // 2) * -(-columns // 2) <= _WINOGRAD_SHARE * 9 * rows * columns
    return "winograd" if fits and saves and min(channels, features) >= _WINOGRAD_CHANNELS else "patches"


def _choose_on_one_core(windows: Windows, channels: int, features: int, groups: int) -> _Passes:
    """Chooses for the forward pass and the gradients; measured layer by layer on ResNet-18 at 224 pixels."""
    if math.prod(windows.taps) > MANY_TAPS or groups > 1 or windows.dilation != (1, 1):
        both = _choose("auto", windows, channels, features, groups)
        return _Passes(both, both)
    rows, columns = windows.outputs
    fits = windows.taps == (3, 3) and windows.strides == (1, 1) and min(channels, features) >= _ONE_CORE_CHANNELS
    if fits and 16 * -(-rows // 2) * -(-columns // 2) <= _ONE_CORE_SHARE * 9 * rows * columns:
        return _Passes("winograd", "winograd")
    if rows * columns < _SMALL_MAP:
        return _Passes("patches", "patches")
    strided = max(windows.strides) > 1
    return _Passes("xla", "patches" if strided or channels <= _FEW_CHANNELS else "xla")


@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3, 4))
def _apart(x: Array, kernel: Array, windows: Windows, groups: int, passes: _Passes) -> Array:
    """A convolution whose gradients are computed by another lowering."""
    return _LOWERINGS[passes.forward](x, kernel, windows, groups)


def _apart_forward(
    x: Array, kernel: Array, windows: Windows, groups: int, passes: _Passes
) -> tuple[Array, tuple[Array, Array]]:
    return _apart(x, kernel, windows, groups, passes), (x, kernel)


def _apart_backward(
    windows: Windows, groups: int, passes: _Passes, saved: tuple[Array, Array], cotangent: Array
) -> tuple[Array, Array]:
    to_x, to_kernel = jax.vjp(lambda x, kernel: _LOWERINGS[passes.backward](x, kernel, windows, groups), *saved)[1](
        cotangent
    )
    return to_x, to_kernel


_apart.defvjp(_apart_forward, _apart_backward)


def _xla(x: Array, kernel: Array, windows: Windows, groups: int) -> Array:
    if platform() == "gpu" and groups == 1:
        return member_conv.conv(x, kernel, windows)
    return member_conv.grouped(x, kernel, windows, groups)


def _patches(x: Array, kernel: Array, windows: Windows, groups: int) -> Array:
    if groups == 1:
        return patches.conv(x, kernel, windows)
    if groups == x.shape[-1]:
        return depthwise.conv(x, kernel, windows)
    parts = zip(jnp.split(x, groups, axis=-1), jnp.split(kernel, groups, axis=-1), strict=True)
    return jnp.concatenate([patches.conv(some, weights, windows) for some, weights in parts], axis=-1)


def _winograd(x: Array, kernel: Array, windows: Windows, groups: int) -> Array:
    rows, columns = windows.outputs
    (top, bottom), (left, right) = windows.pads
    # The tiles' outputs come in twos: of an odd number the last is left out.
    even = jnp.pad(x, ((0, 0), (top, bottom + rows % 2), (left, right + columns % 2), (0, 0)))
    return winograd.conv(even, kernel)[:, :rows, :columns]


def _space_to_depth(x: Array, kernel: Array, windows: Windows, groups: int) -> Array:
    return space_to_depth.conv(x, kernel, windows)


_LOWERINGS = {"xla": _xla, "patches": _patches, "winograd": _winograd, "space_to_depth": _space_to_depth}
