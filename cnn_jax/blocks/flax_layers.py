"""Layer table rows for Flax's own layers, so that networks can use them unchanged."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import flax.linen as nn
import jax
from jaxtyping import Array

from cnn_jax.layer_rows import LayerRow, LayerTableError, SlidingWindow, conv_row, emit
from cnn_jax.ops.padding import Padding, effective_window, pair

NORMS: dict[type[nn.Module], str] = {
    nn.BatchNorm: "batch_norm",
    nn.GroupNorm: "group_norm",
    nn.InstanceNorm: "instance_norm",
    nn.LayerNorm: "layer_norm",
    nn.RMSNorm: "rms_norm",
}


@contextlib.contextmanager
def emitting_flax_layers() -> Iterator[None]:
    """Makes Flax's Conv, Dense and norm layers record their rows inside the `with` block."""

    def intercept(
        next_method: Callable[..., Any], args: Any, kwargs: Any, context: nn.module.InterceptorContext
    ) -> Any:
        output = next_method(*args, **kwargs)
        module = context.module
        if context.method_name != "__call__" or not isinstance(module, (nn.Conv, nn.Dense, *NORMS)):
            return output
        x = args[0] if args else kwargs.get("inputs", kwargs.get("x"))
        return emit(_row(module, x.shape[1:], output), output)

    with nn.intercept_methods(intercept):
        yield


def _row(module: nn.Module, shape: tuple[int, ...], output: Array) -> LayerRow:
    """Returns the row of a Flax layer for its input shape (without the batch axis) and its output."""
    name, params = "/".join(module.path), module.variables.get("params", {})
    parameters = sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(params))
    if isinstance(module, nn.Conv):
        return _conv_row(name, module, shape, math.prod(nn.unbox(params["kernel"]).shape), parameters)
    if isinstance(module, nn.Dense):
        products = math.prod(shape) * module.features
        return LayerRow(name, "dense", shape, output.shape[1:], parameters, products)
    kind = next(kind for norm, kind in NORMS.items() if isinstance(module, norm))
    return LayerRow(name, kind, shape, output.shape[1:], parameters)


def _conv_row(name: str, module: nn.Conv, shape: tuple[int, ...], weights: int, parameters: int) -> LayerRow:
    taps = (module.kernel_size,) if isinstance(module.kernel_size, int) else tuple(module.kernel_size)
    if len(taps) != 2 or len(shape) != 3 or _pair(module.input_dilation, "input_dilation") != (1, 1):
        raise LayerTableError(
            f"layer {name}: the layer table takes a flax.linen.Conv over [batch, height, width, channels] with an "
            f"input_dilation of 1; it has kernel_size={module.kernel_size}, input_dilation={module.input_dilation} "
            f"and an input of {len(shape) + 1} dimensions"
        )
    dilation = _pair(module.kernel_dilation, "kernel_dilation")
    padding = _padding(module.padding, (taps[0], taps[1]), dilation)
    window = SlidingWindow((taps[0], taps[1]), _pair(module.strides, "strides"), padding, dilation)
    return conv_row(name, shape, module.features, window, weights, parameters - weights, module.feature_group_count)


def _pair(value: int | Sequence[int] | None, name: str) -> tuple[int, int]:
    return pair(1 if value is None else value, f"flax.linen.Conv.{name}")


def _padding(padding: Any, taps: tuple[int, int], dilation: tuple[int, int]) -> Padding:
    """Converts Flax's padding to a dialect of `ops`; Flax sizes its border paddings for stride 1."""
    if padding in ("CIRCULAR", "REFLECT"):
        spans = [effective_window(*sizes) for sizes in zip(taps, dilation, strict=True)]
        return tuple(((span - 1) // 2, span // 2) for span in spans)
    if isinstance(padding, str | int):
        return padding
    return tuple((side, side) if isinstance(side, int) else (side[0], side[1]) for side in padding)
