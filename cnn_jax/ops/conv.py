"""Convolution (cross-correlation, as in every network library) and its lowerings."""

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
_FEW_CHANNELS = 4  # matrix units are mostly idle with at most this many input channels
_WINOGRAD_CHANNELS = 8  # with fewer channels, the transforms cost more than they save
_WINOGRAD_SHARE = 3 / 4  # Winograd pays up to this share of the direct convolution's multiplications
# The same thresholds on one core, where XLA's own convolution comes near the core's peak except on small maps.
_ONE_CORE_CHANNELS = 128
_ONE_CORE_SHARE = 1 / 2
_SMALL_MAP = 64  # pixels


class _Passes(NamedTuple):
    """Lowerings of a convolution's forward and backward passes."""

    forward: str
    backward: str


_on_one_core: contextvars.ContextVar[bool] = contextvars.ContextVar("on_one_core", default=False)


@contextlib.contextmanager
def on_one_core() -> Iterator[None]:
    """Makes lowering "auto" minimize processor time on a single CPU core.

    By default "auto" chooses the fastest lowering for one program that uses all cores; use this context when each
    core runs a program of its own. It is not part of JAX's cache key: enter it inside the compiled function.
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
    """Convolves images with a kernel: each output is the sum of products over one window.

    Args:
      x: Images, channels last.
      kernel: Weights, ci = c / groups.
      strides: Pixels between windows, (height, width) or one number for both.
      padding: Any dialect of `resolve_padding`.
      dilation: Pixels between the kernel's taps.
      groups: Number of groups into which input and output channels are split; with one input channel per group
        this is a depthwise convolution.
      lowering: Algorithm: "xla"; "patches" (im2col and a matrix product); "winograd" (3x3 kernels of stride 1, with
        4/9 of the multiplications); "space_to_depth" (strided kernels over at most 4 channels, with blocks of
        pixels as channels; any other convolution as by "auto"); or "auto" (the fastest one on CPU, else "xla").

    Returns:
      Feature maps of x's type; `output_sizes` gives oh and ow. On CPU half-precision products are summed in float32,
      as accelerators do natively. All lowerings agree up to rounding.

    Raises:
      GeometryError: If the window exceeds the padded input, or the lowering does not support the convolution.
      ValueError: If channels, groups or options do not match.
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
    dtype = accumulation_dtype(x)
    maps, weights = x.astype(dtype), kernel.astype(dtype)
    if platform() != "cpu":
        if channels == _COLOURS and groups == 1 and x.dtype == jnp.bfloat16 and platform() == "gpu":
            # Matrix units need at least four channels. XLA adds a channel of zeros only in float16.
            maps = jnp.pad(maps, ((0, 0), (0, 0), (0, 0), (0, 1)))
            weights = jnp.pad(weights, ((0, 0), (0, 0), (0, 1), (0, 0)))
        return _LOWERINGS[chosen](maps, weights, windows, groups).astype(x.dtype)
    # Without the barriers XLA would recompute the input's producers for every tap that reads them.
    maps = lax.optimization_barrier(maps)
    if lowering == "auto" and _on_one_core.get():
        y = _mixed(maps, weights, windows, groups, _choose_on_one_core(windows, channels, features, groups))
    elif chosen == "patches" and groups == 1 and x.dtype == jnp.bfloat16 and multiplies_bfloat16():
        y = patches.conv(maps, weights, windows, True)
    else:
        y = _LOWERINGS[chosen](maps, weights, windows, groups)
    result: Array = lax.optimization_barrier(y)
    return result.astype(x.dtype)


# More than seven parameters: those of `conv2d` and the output size.
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
    """Transposed convolution: the adjoint of `conv2d` with the same kernel.

    For all x and y, <conv2d(y, kernel), x> = <y, conv_transpose2d(x, kernel)>. It maps the kernel's o output channels
    to its c = ci x groups input channels.

    Args:
      x: Feature maps, channels last.
      kernel: Kernel of the transposed convolution, in the layout of `conv2d`.
      strides, padding, dilation, groups, lowering: Arguments of that convolution.
      output_size: Size of the result in pixels, (height, width) or one number; `conv2d` must map it to x's size. None
        is s times x's size for SAME and the border dialects (as in TensorFlow), the smallest possible size
        otherwise (as in PyTorch).

    Returns:
      Images of that size.

    Raises:
      GeometryError: If `conv2d` maps no image, or none of this size, to x's size.
      ValueError: If channels, groups or options do not match.
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
    """Returns the padding of one axis in the position of the height's."""
    return padding if isinstance(padding, str | int) else (padding[axis], padding[axis])


def accumulation_dtype(x: Array) -> jnp.dtype:
    """Returns the dtype in which products are summed: x's own, or float32 for half precision on CPU."""
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
    """Chooses the lowerings of both passes, from measurements of each layer of ResNet-18 at 224 pixels."""
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
def _mixed(x: Array, kernel: Array, windows: Windows, groups: int, passes: _Passes) -> Array:
    """Convolves with one lowering for the forward pass and another for the gradients."""
    return _LOWERINGS[passes.forward](x, kernel, windows, groups)


def _mixed_forward(
    x: Array, kernel: Array, windows: Windows, groups: int, passes: _Passes
) -> tuple[Array, tuple[Array, Array]]:
    return _mixed(x, kernel, windows, groups, passes), (x, kernel)


def _mixed_backward(
    windows: Windows, groups: int, passes: _Passes, saved: tuple[Array, Array], cotangent: Array
) -> tuple[Array, Array]:
    to_x, to_kernel = jax.vjp(lambda x, kernel: _LOWERINGS[passes.backward](x, kernel, windows, groups), *saved)[1](
        cotangent
    )
    return to_x, to_kernel


_mixed.defvjp(_mixed_forward, _mixed_backward)


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
    # Tiles give two outputs per axis; the last one of an odd size is dropped.
    even = jnp.pad(x, ((0, 0), (top, bottom + rows % 2), (left, right + columns % 2), (0, 0)))
    return winograd.conv(even, kernel)[:, :rows, :columns]


def _space_to_depth(x: Array, kernel: Array, windows: Windows, groups: int) -> Array:
    return space_to_depth.conv(x, kernel, windows)


_LOWERINGS = {"xla": _xla, "patches": _patches, "winograd": _winograd, "space_to_depth": _space_to_depth}
