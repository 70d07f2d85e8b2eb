"""What each layer of a network says of itself as it runs, so that the layer table is read off the network itself."""

from __future__ import annotations

import contextlib
import contextvars
import dataclasses
import math
from collections.abc import Iterator

from cnn_jax.ops.padding import GeometryError, IntPair, Padding, Pads, output_sizes, pair, resolve_padding

LARGEST_KERNEL_BYTES = 4 * 2**30
IMAGE = -1  # the source of a layer that reads the image


@dataclasses.dataclass(frozen=True)
class LayerRow:
    """One layer of a network. Shapes are of one image, channels last.

    Attributes:
      name: the layer's path in the network; its parameters stand under it.
      kind: "conv", "max_pool", "avg_pool", "min_pool", "adaptive_avg_pool", "global_avg_pool", "batch_norm",
        "group_norm", "lrn", "pad", "crop", "scale", "add", "concat", "flatten", "dense", "rbf" or "dropout".
      input_shape, output_shape: without the batch; of several inputs, the first's.
      parameters: weights and biases.
      multiply_adds: for one image, forward, of convolutions and dense layers, biases not counted.
      window, strides, dilation: (height, width) of what moves over the map; None for other kinds.
      padding: as configured; None for other kinds.
      pads: as resolved, ((top, bottom), (left, right)), negative where a map is cropped; None for other kinds.
      groups: of a convolution.
      sources: numbers of the rows whose outputs come in, from 0; -1 is the image.
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


@dataclasses.dataclass
class _Trace:
    """The rows so far, and those whose outputs the next layer reads."""

    rows: list[LayerRow] = dataclasses.field(default_factory=list)
    ends: tuple[int, ...] = (IMAGE,)


_trace: contextvars.ContextVar[_Trace | None] = contextvars.ContextVar("layer_rows", default=None)


@contextlib.contextmanager
def trace_layers() -> Iterator[list[LayerRow]]:
    """Collects the row of every layer that runs inside the `with`, in order."""
    trace = _Trace()
    token = _trace.set(trace)
    try:
        yield trace.rows
    finally:
        _trace.reset(token)


def record(row: LayerRow) -> None:
    """Adds a layer to the trace, where one is being made."""
    trace = _trace.get()
    if trace is not None:
        trace.rows.append(dataclasses.replace(row, sources=trace.ends))
        trace.ends = (len(trace.rows) - 1,)


class Branches:
    """Paths that start from one map; the layer recorded after them reads all that were joined."""

    def __init__(self) -> None:
        trace = _trace.get()
        self._start = trace.ends if trace else ()
        self._ends: tuple[int, ...] = ()

    @contextlib.contextmanager
    def branch(self, joined: bool = True) -> Iterator[None]:
        """Records what runs inside the `with` as one path; one that is not joined ends there."""
        trace = _trace.get()
        if trace is None:
            yield
            return
        trace.ends = self._start
        yield
        self._ends += trace.ends if joined else ()
        trace.ends = self._ends or self._start


def record_windows(
    kind: str,
    name: str,
    shape: tuple[int, ...],
    features: int,
    window: IntPair,
    strides: IntPair,
    padding: Padding,
    *,
    dilation: IntPair = 1,
    groups: int = 1,
    ceil_mode: bool = False,
    weights: int = 0,
    biases: int = 0,
) -> tuple[int, ...]:
    """Records a layer of moving windows; gives its output's shape.

    Args:
      kind, name: of the row.
      shape: (height, width, channels) of the input.
      features: channels of the output.
      window, strides, padding, dilation, groups, ceil_mode: as `ops` takes them.
      weights, biases: parameters; at each place every weight takes part in one multiply-add.

    Returns:
      (height, width, features).

    Raises:
      GeometryError: where the window does not fit, the layer named.
    """
    size = (shape[0], shape[1])
    windows, steps, dilations = pair(window, "window"), pair(strides, "strides"), pair(dilation, "dilation")
    with naming(name, shape):
        rows, columns = output_sizes(size, windows, steps, padding, dilations, ceil_mode=ceil_mode)
    pads = resolve_padding(padding, size, windows, steps, dilations)
    if ceil_mode:
        pads = tuple(  # type: ignore[assignment]
            (low, max(high, (count - 1) * step + taps - n - low))
            for (low, high), count, step, taps, n in zip(pads, (rows, columns), steps, windows, size, strict=True)
        )
    output = (rows, columns, features)
    counts = (weights + biases, rows * columns * weights)
    record(LayerRow(name, kind, shape, output, *counts, windows, steps, dilations, padding, pads, groups))
    return output


@contextlib.contextmanager
def naming(layer: str, shape: tuple[int, ...]) -> Iterator[None]:
    """Puts the layer's name and input into the error of a geometry that does not work."""
    try:
        yield
    except GeometryError as error:
        raise GeometryError(f"layer {layer}, input {'x'.join(map(str, shape))}: {error}") from error


def check_kernel_size(shape: tuple[int, ...]) -> None:
    """Refuses weights that no ordinary memory holds, before they are drawn.

    Raises:
      GeometryError: above LARGEST_KERNEL_BYTES in float32.
    """
    size = 4 * math.prod(shape)
    if size > LARGEST_KERNEL_BYTES:
        raise GeometryError(
            f"{'x'.join(map(str, shape))} weights take {size / 2**30:.1f} GiB, above the bound of "
            f"{LARGEST_KERNEL_BYTES / 2**30:.0f} GiB; use smaller maps or fewer features"
        )
