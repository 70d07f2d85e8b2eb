"""Rows of the layer table, and access to the outputs of layers.

Every layer ends with `emit(row, output)`. While `trace_layers` is active, this records the row, so that the layer table
comes from the network itself, adds the layer's perturbation to the output, and captures the output if asked to.
Activations have no row; they end with `emit_activation(kind, output)` and are named after the layer before them.
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
LARGEST_MARGIN = 32  # padding on a side may exceed the map's size by this many pixels
IMAGE = -1  # source of a layer that reads the image
ACTIVATION = "/activation"  # suffix of a layer's name: the output of the activation directly after the layer
IMAGE_NAME = "image"  # stands for a layer's name if an activation reads the image
TWICE = "two layers are named {}: a module runs twice, or two have one path"


class Stopped(Exception):
    """The computation has reached the layer to stop at; `output` is the layer's output."""

    def __init__(self, output: Array) -> None:
        super().__init__()
        self.output = output


class LayerTableError(ValueError):
    """The layer table does not describe its network; the message names the layer."""


# More than ten fields: one for each column of the layer table, and settings without a column.
@dataclasses.dataclass(frozen=True)
class LayerRow:
    """One layer of a network. Shapes have no batch axis; channels are last.

    Attributes:
      name: Unique path of the layer in the network, under which its parameters are stored.
      kind: "conv", "max_pool", "avg_pool", "min_pool", "adaptive_avg_pool", "global_avg_pool", "batch_norm",
        "group_norm", "layer_norm", "lrn", "pad", "crop", "scale", "add", "multiply", "concat", "flatten", "dense",
        "rbf" or "dropout".
      input_shape: Shape of the (first) input.
      output_shape: Shape of the output.
      parameters: Number of weights and biases.
      multiply_adds: Multiply-adds of one image's forward pass in convolutions and dense layers, without biases.
      window: (height, width) of the sliding window; None without one.
      strides: (height, width) in pixels; None without a window.
      dilation: (height, width) in pixels; None without a window.
      padding: Padding as configured; None without padding.
      pads: Resolved padding ((top, bottom), (left, right)), negative if a map is cropped; None without a window.
      groups: Groups of a convolution.
      sources: Indices of the rows whose outputs are the inputs; -1 is the image.
      settings: Further (name, value) arguments of the layer's function in `ops`.
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
    """Settings of a sliding window, as the functions of `ops` take them."""

    size: IntPair
    strides: IntPair = 1
    padding: Padding = "VALID"
    dilation: IntPair = 1
    ceil_mode: bool = False


def window_row(name: str, kind: str, shape: tuple[int, ...], features: int, window: SlidingWindow) -> LayerRow:
    """Creates the row of a layer with a sliding window and without parameters.

    Args:
      name: Path of the layer.
      kind: Kind of the row.
      shape: (height, width, channels) of the input.
      features: Channels of the output.
      window: Settings of the window.

    Returns:
      The row, without sources.

    Raises:
      GeometryError: If the window does not fit; the message names the layer.
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
    """Creates the row of a convolution.

    Args:
      name: Path of the layer.
      shape: (height, width, channels) of the input.
      features: Channels of the output.
      window: Settings of the kernel's window.
      weights: Number of the kernel's weights; each takes part in one multiply-add at every output position.
      biases: Number of biases.
      groups: Groups of the convolution.

    Returns:
      The row, without sources.

    Raises:
      GeometryError: If the kernel does not fit; the message names the layer.
    """
    row = window_row(name, "conv", shape, features, window)
    products = math.prod(row.output_shape[:2]) * weights
    return dataclasses.replace(row, parameters=weights + biases, multiply_adds=products, groups=groups)


@dataclasses.dataclass
class LayerTrace:
    """Record of the layers that ran so far.

    Attributes:
      rows: Rows in the order of computation.
      ends: Indices of the rows whose outputs the next layer reads.
      capture: Names of the layers whose outputs are captured, or "all".
      perturb: Arrays to add to layers' outputs, by layer name.
      replace: Arrays that replace layers' outputs, by layer name.
      stop: Name of the layer to stop at.
      outputs: Captured outputs by layer name, including perturbations.
      activations: Names of the activations that ran, each a layer's name with the suffix ACTIVATION.
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
        """Adds a row, whose sources are the current ends."""
        self.rows.append(dataclasses.replace(row, sources=self.ends))
        self.ends = (len(self.rows) - 1,)

    def watches(self, name: str) -> bool:
        """Returns whether a layer's output is read or changed."""
        changed = name in self.perturb or name in self.replace
        return self.capture == "all" or name in self.capture or changed or name == self.stop

    def pass_through(self, name: str, y: Array) -> Array:
        """Replaces, perturbs and captures a layer's output, as asked.

        Raises:
          ValueError: If the perturbation does not broadcast to the output, or the replacement has another shape.
          Stopped: If this is the layer to stop at.
          LayerTableError: If two layers have this name.
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
    """Records the row of every layer that runs inside the `with` block, and the outputs of some.

    Args:
      capture: Names of the layers whose outputs are captured, or "all".
      perturb: Arrays to add to layers' outputs, by layer name; each broadcasts to the output.
      replace: Arrays that replace layers' outputs, by layer name, with the outputs' shapes.
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
    """Records a layer and returns its output; every layer ends with this call.

    Args:
      row: The layer's row.
      y: Output of the layer, batch axis first.

    Returns:
      The output, replaced or perturbed if asked.

    Raises:
      ValueError, Stopped: As for `LayerTrace.pass_through`.
      LayerTableError: If the output's shape is not the row's, or two layers have this name.
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
    """Records an activation and returns its output; every activation ends with this call.

    Its name is that of the layer before it with the suffix ACTIVATION. Capturing "all" does not include activations.

    Args:
      kind: Name of the activation function.
      y: Output of the activation, batch axis first.

    Returns:
      The output, perturbed if asked.

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
    """Records a layer that is fused with the next one, so that its output is never computed.

    Args:
      row: The layer's row.

    Raises:
      LayerTableError: If the output is to be read or changed; check `is_watched` first.
    """
    trace = _trace.get()
    if trace is not None:
        if trace.watches(row.name):
            raise LayerTableError(f"layer {row.name} is fused with the next one: its output cannot be read")
        trace.record(row)


def is_tracing() -> bool:
    """Returns whether `trace_layers` is active."""
    return _trace.get() is not None


def is_watched(name: str) -> bool:
    """Returns whether a layer's output is read or changed, so that the layer must not be fused."""
    trace = _trace.get()
    return trace is not None and trace.watches(name)


class Branches:
    """Parallel branches of one map; the layer recorded after them reads all joined branches."""

    def __init__(self) -> None:
        trace = _trace.get()
        self._start = trace.ends if trace else ()
        self._ends: tuple[int, ...] = ()

    @contextlib.contextmanager
    def branch(self, joined: bool = True) -> Iterator[None]:
        """Records the layers inside the `with` block as one branch.

        Args:
          joined: Whether the layer after the branches reads this branch.
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
    """Prefixes the message of a GeometryError with the layer's name and input shape."""
    try:
        yield
    except GeometryError as error:
        raise GeometryError(f"layer {layer}, input {by(shape)}: {error}") from error


def check_kernel_size(shape: tuple[int, ...]) -> None:
    """Checks that a kernel is not too large, before it is drawn.

    Raises:
      GeometryError: If it exceeds LARGEST_KERNEL_BYTES in float32.
    """
    size = 4 * math.prod(shape)
    if size > LARGEST_KERNEL_BYTES:
        raise GeometryError(
            f"{by(shape)} weights take {size / 2**30:.1f} GiB, above the bound of "
            f"{LARGEST_KERNEL_BYTES / 2**30:.0f} GiB; use smaller maps or fewer features"
        )


def check_padding_size(padding: Padding, pads: tuple[Pads, Pads], size: tuple[int, int]) -> None:
    """Checks that a padding is not so large that most taps would read only zeros.

    Raises:
      GeometryError: If it exceeds the map's size plus LARGEST_MARGIN on a side.
    """
    for sides, pixels in zip(pads, size, strict=True):
        if max(sides) > pixels + LARGEST_MARGIN:
            raise GeometryError(
                f"padding {padding!r} adds {max(sides):,} pixels of zeros on a side of a map of {pixels}, above the "
                f"bound of {pixels + LARGEST_MARGIN}; use a smaller window or dilation, or padding VALID"
            )
