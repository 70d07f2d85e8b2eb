"""What each layer of a network says of itself as it runs, so that the layer table is read off the network itself."""

from __future__ import annotations

import contextlib
import contextvars
import dataclasses
import math
from collections.abc import Iterator

from cnn_jax.ops.padding import GeometryError, Padding, Pads

LARGEST_KERNEL_BYTES = 4 * 2**30


@dataclasses.dataclass(frozen=True)
class LayerRow:
    """One layer of a network. Shapes are of one image, channels last.

    Attributes:
      name: the layer's name in the network; its parameters stand under it.
      kind: "conv", "max_pool", "avg_pool", "min_pool", "flatten", "dense" or "dropout".
      input_shape, output_shape: without the batch.
      parameters: weights and biases.
      multiply_adds: for one image, forward, biases not counted.
      window, strides, dilation: (height, width) of a convolution or pooling; None for other kinds.
      padding: as configured; None for other kinds.
      pads: as resolved, ((top, bottom), (left, right)); None for other kinds.
      groups: of a convolution.
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


_rows: contextvars.ContextVar[list[LayerRow] | None] = contextvars.ContextVar("layer_rows", default=None)


@contextlib.contextmanager
def trace_layers() -> Iterator[list[LayerRow]]:
    """Collects the row of every layer that runs inside the `with`, in order."""
    rows: list[LayerRow] = []
    token = _rows.set(rows)
    try:
        yield rows
    finally:
        _rows.reset(token)


def record(row: LayerRow) -> None:
    """Adds a layer to the trace, where one is being made."""
    rows = _rows.get()
    if rows is not None:
        rows.append(row)


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
