"""Rows of the layer table, and the outputs of the layers.

Every layer ends with `emit(row, output)`. While `trace_layers` is active this records the row, so that the table is
read off the network itself, adds the layer's perturbation to the output, and keeps the output if it is to be captured.
An activation has no row; it ends with `emit_activation(kind, output)`, and is named for the layer before it.
"""

from __future__ import annotations

import contextlib
import contextvars
import dataclasses
import math
from collections.abc import Collection, Iterator, Mapping
from typing import Any, Literal

import jax.numpy as jnp
from jaxtyping import Array

from cnn_jax.ops.padding import GeometryError, IntPair, Padding, Pads, output_sizes, pair, resolve_padding
from cnn_jax.words import by

LARGEST_KERNEL_BYTES = 4 * 2**30
LARGEST_MARGIN = 32  # pixels of padding on a side beyond the map's own size
IMAGE = -1  # the source of a layer that reads the image
ACTIVATION = "/activation"  # after a layer's name: the output of the activation that follows it directly
IMAGE_NAME = "image"  # in place of a layer's name where an activation reads the image
TWICE = "two layers are named {}: a module runs twice, or two have one path"


class Stopped(Exception):
    """The computation has reached the layer that it was to stop at, whose output it carries."""

    def __init__(self, output: Array) -> None:
        super().__init__()
        self.output = output


class LayerTableError(ValueError):
    """A layer table that does not describe its network; the message names the layer."""


# More than ten fields: one for each column of the layer table, and the settings that have no column.
@dataclasses.dataclass(frozen=True)
class LayerRow:
    """One layer of a network. Shapes are of one image, channels last.

    Attributes:
      name: Path of the layer in the network, like no other's; its parameters stand under it.
      kind: "conv", "max_pool", "avg_pool", "min_pool", "adaptive_avg_pool", "global_avg_pool", "batch_norm",
        "group_norm", "layer_norm", "lrn", "pad", "crop", "scale", "add", "multiply", "concat", "flatten", "dense",
        "rbf" or "dropout".
      input_shape: Shape without the batch; of several inputs, the first's.
      output_shape: Shape without the batch.
      parameters: Number of weights and biases.
      multiply_adds: Multiply-adds of one image's forward pass; of convolutions and dense layers, biases not counted.
      window: (height, width) of what moves over the maps; None for other kinds.
      strides: (height, width) in pixels; None where there is no window.
      dilation: (height, width) in pixels; None where there is no window.
      padding: Padding as configured; None where there is none.
      pads: Padding as resolved, ((top, bottom), (left, right)), negative where a map is cropped; None without a window.
      groups: Groups of a convolution.
      sources: Numbers of the rows whose outputs come in, from 0; -1 is the image.
      settings: Further settings of the layer's arithmetic, (name, value) each, as its function in `ops` takes them.
    """

    name: str
    kind: str
    input_shape: tuple[int, ...]
    output_shape: tuple[int, ...]
    parameters: int = 0
    multiply_adds: int = 0
    window: tuple[int, int] | None = None
    strides: tuple[int, int] | None = None
    dilation: tuple[int, int] | None = None
    padding: Padding | None = None
    pads: tuple[Pads, Pads] | None = None
    groups: int = 1
    sources: tuple[int, ...] = (IMAGE,)
    settings: tuple[tuple[str, Any], ...] = ()


@dataclasses.dataclass(frozen=True)
class SlidingWindow:
    """Settings of a window that moves over feature maps, as the functions of `ops` take them."""

    size: IntPair
    strides: IntPair = 1
    padding: Padding = "VALID"
    dilation: IntPair = 1
    ceil_mode: bool = False


def window_row(name: str, kind: str, shape: tuple[int, ...], features: int, window: SlidingWindow) -> LayerRow:
    """Works out the row of a layer of moving windows that has no parameters.

    Args:
      name: Path of the layer.
      kind: Kind of the row.
      shape: (height, width, channels) of the input.
      features: Channels of the output.
      window: Settings of the window.

    Returns:
      The row, without sources.

    Raises:
      GeometryError: Where the window does not fit; the message names the layer.
    """
    size = (shape[0], shape[1])
    taps, strides = pair(window.size, "window"), pair(window.strides, "strides")
    dilations = pair(window.dilation, "dilation")
    with naming(name, shape):
        outputs = output_sizes(size, taps, strides, window.padding, dilations, ceil_mode=window.ceil_mode)
        pads = resolve_padding(window.padding, size, taps, strides, dilations)
        check_padding_size(window.padding, pads, size)
    if window.ceil_mode:
        pads = tuple(  # type: ignore[assignment]
            (low, max(high, (count - 1) * stride + span - n - low))
            for (low, high), count, stride, span, n in zip(pads, outputs, strides, taps, size, strict=True)
        )
    return LayerRow(
        name,
        kind,
        shape,
        (*outputs, features),
        window=taps,
        strides=strides,
        dilation=dilations,
        padding=window.padding,
        pads=pads,
        settings=(("ceil_mode", True),) if window.ceil_mode else (),
    )


def conv_row(
    name: str,
    shape: tuple[int, ...],
    features: int,
    window: SlidingWindow,
    weights: int,
    biases: int,
    groups: int = 1,
) -> LayerRow:
    """Works out the row of a convolution.

    Args:
      name: Path of the layer.
      shape: (height, width, channels) of the input.
      features: Channels of the output.
      window: Settings of the kernel's window.
      weights: Number of the kernel's weights; each takes part in one multiply-add at every place.
      biases: Number of biases.
      groups: Groups of the convolution.

    Returns:
      The row, without sources.

    Raises:
      GeometryError: Where the kernel does not fit; the message names the layer.
    """
    row = window_row(name, "conv", shape, features, window)
    products = math.prod(row.output_shape[:2]) * weights
    return dataclasses.replace(row, parameters=weights + biases, multiply_adds=products, groups=groups)


@dataclasses.dataclass
class LayerTrace:
    """The layers that ran so far.

    Attributes:
      rows: Rows in the order of computation.
      ends: Numbers of the rows whose outputs the next layer reads.
      capture: Names of the layers whose outputs are kept, or "all".
      perturb: Arrays to add to layers' outputs, by the layers' names.
      replace: Arrays in place of layers' outputs, by the layers' names.
      stop: Name of the layer to stop at.
      outputs: Outputs kept, by the layers' names, perturbations included.
      activations: Names of the activations that ran, each a layer's with ACTIVATION after it.
      activation_kinds: Kind of each activation, by its name.
    """

    capture: Collection[str] | Literal["all"] = ()
    perturb: Mapping[str, Array] = dataclasses.field(default_factory=dict)
    replace: Mapping[str, Array] = dataclasses.field(default_factory=dict)
    stop: str | None = None
    outputs: dict[str, Array] = dataclasses.field(default_factory=dict)
    rows: list[LayerRow] = dataclasses.field(default_factory=list)
    ends: tuple[int, ...] = (IMAGE,)
    activations: list[str] = dataclasses.field(default_factory=list)
    activation_kinds: dict[str, str] = dataclasses.field(default_factory=dict)

    def record(self, row: LayerRow) -> None:
        """Adds a row, which reads the rows before it."""
        self.rows.append(dataclasses.replace(row, sources=self.ends))
        self.ends = (len(self.rows) - 1,)

    def watches(self, name: str) -> bool:
        """Tells whether a layer's output is read or perturbed."""
        changed = name in self.perturb or name in self.replace
        return self.capture == "all" or name in self.capture or changed or name == self.stop

    def pass_through(self, name: str, y: Array) -> Array:
        """Replaces or perturbs a layer's output and keeps what is to be captured.

        Raises:
          ValueError: Where the perturbation does not broadcast to the output, or the replacement has another shape.
          Stopped: At the layer to stop at.
          LayerTableError: Where two layers have this name.
        """
        if self.watches(name) and [*(row.name for row in self.rows), *self.activations].count(name) > 1:
            raise LayerTableError(TWICE.format(name))
        if name in self.replace:
            if self.replace[name].shape != y.shape:
                raise ValueError(f"replace[{name!r}] has the shape {self.replace[name].shape}, the output {y.shape}")
            y = self.replace[name].astype(y.dtype)
        if name in self.perturb:
            change = jnp.asarray(self.perturb[name])
            try:
                y = y + jnp.broadcast_to(change.astype(y.dtype), y.shape)
            except ValueError:
                fault = f"has the shape {change.shape}, which does not broadcast to the layer's output, {y.shape}"
                raise ValueError(f"perturb[{name!r}] {fault}") from None
        if self.capture == "all" or name in self.capture:
            self.outputs[name] = y
        if name == self.stop:
            raise Stopped(y)
        return y


_trace: contextvars.ContextVar[LayerTrace | None] = contextvars.ContextVar("layer_trace", default=None)


@contextlib.contextmanager
def trace_layers(
    capture: Collection[str] | Literal["all"] = (),
    perturb: Mapping[str, Array] | None = None,
    replace: Mapping[str, Array] | None = None,
    stop: str | None = None,
) -> Iterator[LayerTrace]:
    """Collects the row of every layer that runs inside the `with`, and the outputs of some.

    Args:
      capture: Names of the layers whose outputs are kept, or "all".
      perturb: Arrays to add to layers' outputs, by the layers' names; each broadcasts to the output.
      replace: Arrays in place of layers' outputs, by the layers' names, of the outputs' shapes.
      stop: Name of the layer that raises `Stopped`, if any.

    Yields:
      The trace, which grows as layers run.
    """
    trace = LayerTrace(capture, perturb or {}, replace or {}, stop)
    token = _trace.set(trace)
    try:
        yield trace
    finally:
        _trace.reset(token)


def emit(row: LayerRow, y: Array) -> Array:
    """Records a layer and passes its output on; every layer ends with it.

    Args:
      row: The layer's row.
      y: Output of the layer, batch first.

    Returns:
      The output, or the output with its perturbation added.

    Raises:
      ValueError: Where a perturbation does not broadcast to the output.
      LayerTableError: Where the output has another shape than the row says.
    """
    trace = _trace.get()
    if trace is not None:
        if y.shape[1:] != row.output_shape:
            raise LayerTableError(
                f"layer {row.name}: its row says {by(row.output_shape)}, its output is {by(y.shape[1:])}"
            )
        trace.record(row)
        y = trace.pass_through(row.name, y)
    return y


def emit_activation(kind: str, y: Array) -> Array:
    """Passes on the output of an activation; every activation ends with it.

    Its name is that of the layer before it with ACTIVATION after that; to capture "all" does not capture it.

    Args:
      kind: Name of the activation function.
      y: Output of the activation, batch first.

    Returns:
      The output, or the output with its perturbation added.

    Raises:
      ValueError, LayerTableError: As for `LayerTrace.pass_through`.
    """
    trace = _trace.get()
    if trace is None or len(trace.ends) != 1:
        return y
    before = IMAGE_NAME if trace.ends == (IMAGE,) else trace.rows[trace.ends[0]].name
    trace.activations.append(name := before + ACTIVATION)
    trace.activation_kinds[name] = kind
    captured = trace.capture != "all" and name in trace.capture
    return trace.pass_through(name, y) if captured or name in trace.perturb else y


def record_fused(row: LayerRow) -> None:
    """Records a layer whose output is never computed by itself, because it is fused with the next layer.

    Args:
      row: The layer's row.

    Raises:
      LayerTableError: Where the output is to be read or perturbed; `is_watched` tells so before.
    """
    trace = _trace.get()
    if trace is not None:
        if trace.watches(row.name):
            raise LayerTableError(f"layer {row.name} is fused with the next one, and its output is wanted")
        trace.record(row)


def is_tracing() -> bool:
    """Tells whether the layers that run are recorded."""
    return _trace.get() is not None


def is_watched(name: str) -> bool:
    """Tells whether a layer's output is read or perturbed, so that it must be computed by itself."""
    trace = _trace.get()
    return trace is not None and trace.watches(name)


class Branches:
    """Paths that start from one map; the layer recorded after them reads all that were joined."""

    def __init__(self) -> None:
        trace = _trace.get()
        self._start = trace.ends if trace else ()
        self._ends: tuple[int, ...] = ()

    @contextlib.contextmanager
    def branch(self, joined: bool = True) -> Iterator[None]:
        """Records what runs inside the `with` as one path.

        Args:
          joined: Whether the layer after the branches reads this one.

        Yields:
          Nothing.
        """
        trace = _trace.get()
        if trace is None:
            yield
            return
        trace.ends = self._start
        yield
        self._ends += trace.ends if joined else ()
        trace.ends = self._ends or self._start


@contextlib.contextmanager
def naming(layer: str, shape: tuple[int, ...]) -> Iterator[None]:
    """Puts the layer's name and input into the error of a geometry that does not work."""
    try:
        yield
    except GeometryError as error:
        raise GeometryError(f"layer {layer}, input {by(shape)}: {error}") from error


def check_kernel_size(shape: tuple[int, ...]) -> None:
    """Refuses weights that no ordinary memory holds, before they are drawn.

    Raises:
      GeometryError: Above LARGEST_KERNEL_BYTES in float32.
    """
    size = 4 * math.prod(shape)
    if size > LARGEST_KERNEL_BYTES:
        raise GeometryError(
            f"{by(shape)} weights take {size / 2**30:.1f} GiB, above the bound of "
            f"{LARGEST_KERNEL_BYTES / 2**30:.0f} GiB; use smaller maps or fewer features"
        )


def check_padding_size(padding: Padding, pads: tuple[Pads, Pads], size: tuple[int, int]) -> None:
    """Refuses a padding that makes maps of zeros: most taps of its windows would never see a pixel.

    Raises:
      GeometryError: Above the map's own size and LARGEST_MARGIN on a side.
    """
    for sides, pixels in zip(pads, size, strict=True):
        if max(sides) > pixels + LARGEST_MARGIN:
            raise GeometryError(
                f"padding {padding!r} adds {max(sides):,} pixels of zeros on a side of a map of {pixels}, above the "
                f"bound of {pixels + LARGEST_MARGIN}; use a smaller window or dilation, or padding VALID"
            )
