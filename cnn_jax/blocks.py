"""Flax modules that own parameters, over the array functions of `ops`; each records its row of the layer table."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from cnn_jax import ops
from cnn_jax.layer_rows import LayerRow, check_kernel_size, naming, record
from cnn_jax.ops.padding import GeometryError, IntPair, Padding, output_sizes, pair, resolve_padding

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
class Pooling:
    """A pooling layer, which owns no parameters; kind is a key of POOLS.

    Attributes:
      name: of the layer, in the table and in errors.
      kind, window, strides, padding: as the functions of `ops` take them.
    """

    name: str
    kind: str
    window: IntPair = 2
    strides: IntPair | None = None
    padding: Padding = "VALID"

    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b oh ow c"]:
        """Pools, and records the layer."""
        self.record(x.shape[1:])
        with naming(self.name, x.shape[1:]):
            return POOLS[self.kind](x, self.window, strides=self.strides, padding=self.padding)

    @property
    def halves(self) -> bool:
        """Whether it is the pooling that `ops.conv2d_relu_max_pool` does."""
        taps = pair(self.window, "window")
        return (self.kind, self.padding) == ("max", "VALID") and taps == pair(self._steps, "strides") == (2, 2)

    @property
    def _steps(self) -> IntPair:
        return self.window if self.strides is None else self.strides

    def record(self, shape: tuple[int, ...]) -> None:
        """Records the layer for maps of this shape."""
        _record_windows(f"{self.kind}_pool", self.name, shape, shape[-1], self.window, self._steps, self.padding)


class ConvBlock(nn.Module):
    """Convolution, bias, activation and, where one is given, pooling; fused where `ops` can."""

    features: int
    kernel_size: IntPair
    strides: IntPair = 1
    padding: Padding = "VALID"
    dilation: IntPair = 1
    groups: int = 1
    activation: str = "relu"
    pooling: Pooling | None = None
    kernel_init: str = "glorot_uniform"
    lowering: ops.Lowering = "auto"

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b oh ow o"]:
        name, channels = str(self.name), x.shape[-1]
        window = pair(self.kernel_size, "kernel_size")
        with naming(name, x.shape[1:]):
            if channels % self.groups or self.features % self.groups:
                raise GeometryError(
                    f"groups={self.groups} does not divide {channels} input channels and {self.features} features; "
                    f"use groups={math.gcd(channels, self.features, self.groups)}"
                )
            shape = (*window, channels // self.groups, self.features)
            check_kernel_size(shape)
        parameters = math.prod(shape) + self.features
        output = _record_windows(
            "conv",
            name,
            x.shape[1:],
            self.features,
            window,
            self.strides,
            self.padding,
            dilation=self.dilation,
            groups=self.groups,
            parameters=parameters,
        )
        kernel = self.param("kernel", KERNEL_INITS[self.kernel_init], shape)
        bias = self.param("bias", nn.initializers.zeros, (self.features,))
        fused = (
            pair(self.strides, "strides") == pair(self.dilation, "dilation") == (1, 1)
            and (self.groups, self.activation) == (1, "relu")
            and self.pooling is not None
            and self.pooling.halves
        )
        if fused and self.pooling is not None:
            self.pooling.record(output)
        with naming(name, x.shape[1:]):
            if fused:
                return ops.conv2d_relu_max_pool(x, kernel, bias, padding=self.padding, lowering=self.lowering)
            y = ops.conv2d(
                x,
                kernel,
                strides=self.strides,
                padding=self.padding,
                dilation=self.dilation,
                groups=self.groups,
                lowering=self.lowering,
            )
        y = ACTIVATIONS[self.activation](y + bias)
        return y if self.pooling is None else self.pooling(y)


def _record_windows(
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
    parameters: int = 0,
) -> tuple[int, ...]:
    """Records a layer of moving windows; gives its output's shape.

    Raises:
      GeometryError: where the window does not fit, the layer named.
    """
    size = (shape[0], shape[1])
    windows, steps, dilations = pair(window, "window"), pair(strides, "strides"), pair(dilation, "dilation")
    with naming(name, shape):
        output = (*output_sizes(size, windows, steps, padding, dilations), features)
    products = math.prod(output) * math.prod(windows) * shape[-1] // groups if kind == "conv" else 0
    pads = resolve_padding(padding, size, windows, steps, dilations)
    record(LayerRow(name, kind, shape, output, parameters, products, windows, steps, dilations, padding, pads, groups))
    return output


class Flatten(nn.Module):
    """Feature maps into one vector for each image."""

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b n"]:
        y = x.reshape(x.shape[0], math.prod(x.shape[1:]))
        record(LayerRow(str(self.name), "flatten", x.shape[1:], y.shape[1:]))
        return y


class Dense(nn.Module):
    """A fully connected layer."""

    features: int
    kernel_init: str = "glorot_uniform"

    @nn.compact
    def __call__(self, x: Float[Array, "b n"]) -> Float[Array, "b m"]:
        shape = (x.shape[-1], self.features)
        with naming(str(self.name), x.shape[1:]):
            check_kernel_size(shape)
        kernel = self.param("kernel", KERNEL_INITS[self.kernel_init], shape)
        bias = self.param("bias", nn.initializers.zeros, (self.features,))
        weights = math.prod(shape)
        record(LayerRow(str(self.name), "dense", x.shape[1:], shape[1:], weights + self.features, weights))
        return x @ kernel + bias


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
                record(LayerRow(f"dropout{number}", "dropout", flat.shape[1:], flat.shape[1:]))
        return Dense(self.num_classes, self.kernel_init, name="logits")(flat)
