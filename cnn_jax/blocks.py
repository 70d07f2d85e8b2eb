"""Flax modules that own parameters, over the array functions of `ops`.

Each layer tells `trace_layers` what it is as it runs, so that the layer table is read off the network itself
and cannot differ from it.
"""

from __future__ import annotations

import contextlib
import contextvars
import dataclasses
import math
from collections.abc import Callable, Iterator

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from cnn_jax import ops
from cnn_jax.ops.padding import GeometryError, IntPair, Padding, Pads, pair, resolve_padding

ACTIVATIONS: dict[str, Callable[[Array], Array]] = {
    "relu": jax.nn.relu,
    "tanh": jnp.tanh,
    "sigmoid": jax.nn.sigmoid,
    "gelu": jax.nn.gelu,
    "silu": jax.nn.silu,
    "leaky_relu": jax.nn.leaky_relu,
    "elu": jax.nn.elu,
    "identity": lambda x: x,
}

KERNEL_INITS: dict[str, jax.nn.initializers.Initializer] = {
    "glorot_uniform": jax.nn.initializers.glorot_uniform(),
    "glorot_normal": jax.nn.initializers.glorot_normal(),
    "he_uniform": jax.nn.initializers.he_uniform(),
    "he_normal": jax.nn.initializers.he_normal(),
    "lecun_normal": jax.nn.initializers.lecun_normal(),
}

POOLS: dict[str, Callable[..., Array]] = {"max": ops.max_pool, "avg": ops.avg_pool, "min": ops.min_pool}


@dataclasses.dataclass(frozen=True)
class LayerRow:
    """One layer of a network, as its table shows it. Shapes are of one image, channels last.

    Attributes:
      name: the layer's name in the network; its parameters stand under it.
      kind: "conv", "max_pool", "avg_pool", "min_pool", "flatten", "dense" or "dropout".
      input_shape, output_shape: without the batch.
      parameters: weights and biases.
      window, strides: (height, width) of a convolution or pooling; None for other kinds.
      padding: as configured; None for other kinds.
      pads: as resolved, ((top, bottom), (left, right)); None for other kinds.
    """

    name: str
    kind: str
    input_shape: tuple[int, ...]
    output_shape: tuple[int, ...]
    parameters: int = 0
    window: tuple[int, int] | None = None
    strides: tuple[int, int] | None = None
    padding: Padding | None = None
    pads: tuple[Pads, Pads] | None = None


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


def _record(row: LayerRow) -> None:
    rows = _rows.get()
    if rows is not None:
        rows.append(row)


@contextlib.contextmanager
def _named(layer: str, shape: tuple[int, ...]) -> Iterator[None]:
    """Puts the layer's name and input into the error of a geometry that does not work."""
    try:
        yield
    except GeometryError as error:
        raise GeometryError(f"layer {layer}, input {'x'.join(map(str, shape))}: {error}") from error


class Conv(nn.Module):
    """A convolution and its bias."""

    features: int
    kernel_size: IntPair
    strides: IntPair = 1
    padding: Padding = "VALID"
    kernel_init: str = "glorot_uniform"
    lowering: ops.Lowering = "auto"

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b oh ow o"]:
        window = pair(self.kernel_size, "kernel_size")
        strides = pair(self.strides, "strides")
        kernel = self.param("kernel", KERNEL_INITS[self.kernel_init], (*window, x.shape[-1], self.features))
        bias = self.param("bias", nn.initializers.zeros, (self.features,))
        name, shape = str(self.name), x.shape[1:]
        with _named(name, shape):
            y = ops.conv2d(x, kernel, strides=strides, padding=self.padding, lowering=self.lowering) + bias
        pads = resolve_padding(self.padding, shape[:2], window, strides)
        parameters = kernel.size + bias.size
        _record(LayerRow(name, "conv", shape, y.shape[1:], parameters, window, strides, self.padding, pads))
        return y


class Pool(nn.Module):
    """A pooling layer; kind is a key of POOLS."""

    kind: str
    window: IntPair = 2
    strides: IntPair | None = None
    padding: Padding = "VALID"

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b oh ow c"]:
        window = pair(self.window, "window")
        strides = window if self.strides is None else pair(self.strides, "strides")
        name, shape = str(self.name), x.shape[1:]
        with _named(name, shape):
            y = POOLS[self.kind](x, window, strides=strides, padding=self.padding)
        pads = resolve_padding(self.padding, shape[:2], window, strides)
        kind = f"{self.kind}_pool"
        _record(LayerRow(name, kind, shape, y.shape[1:], 0, window, strides, self.padding, pads))
        return y


class Flatten(nn.Module):
    """Feature maps into one vector for each image."""

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b n"]:
        y = x.reshape(x.shape[0], math.prod(x.shape[1:]))
        _record(LayerRow(str(self.name), "flatten", x.shape[1:], y.shape[1:]))
        return y


class Dense(nn.Module):
    """A fully connected layer."""

    features: int
    kernel_init: str = "glorot_uniform"

    @nn.compact
    def __call__(self, x: Float[Array, "b n"]) -> Float[Array, "b m"]:
        kernel = self.param("kernel", KERNEL_INITS[self.kernel_init], (x.shape[-1], self.features))
        bias = self.param("bias", nn.initializers.zeros, (self.features,))
        y = x @ kernel + bias
        _record(LayerRow(str(self.name), "dense", x.shape[1:], y.shape[1:], kernel.size + bias.size))
        return y


class DenseHead(nn.Module):
    """Flattens, then hidden dense layers with activation and dropout, then the logits."""

    hidden: tuple[int, ...]
    num_classes: int
    activation: str = "relu"
    dropout: float = 0.0
    kernel_init: str = "glorot_uniform"

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"], train: bool) -> Float[Array, "b k"]:
        flat: Array = Flatten(name="flatten")(x)
        for number, width in enumerate(self.hidden, start=1):
            flat = Dense(width, self.kernel_init, name=f"dense{number}")(flat)
            flat = ACTIVATIONS[self.activation](flat)
            if self.dropout:
                flat = nn.Dropout(self.dropout, deterministic=not train, name=f"dropout{number}")(flat)
                _record(LayerRow(f"dropout{number}", "dropout", flat.shape[1:], flat.shape[1:]))
        return Dense(self.num_classes, self.kernel_init, name="logits")(flat)
