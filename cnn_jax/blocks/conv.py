"""Convolution with all that goes around it, and pooling."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable
from typing import Any

import flax.linen as nn
from jaxtyping import Array, Float

from cnn_jax import ops
from cnn_jax.blocks.kernels import KernelModule
from cnn_jax.blocks.norm import Norm
from cnn_jax.blocks.policy import NEVER_FALLING, Policy
from cnn_jax.layer_rows import (
    LayerRow,
    SlidingWindow,
    check_kernel_size,
    conv_row,
    emit,
    naming,
    record_fused,
    window_row,
)
from cnn_jax.ops.padding import GeometryError, IntPair, Padding, pair
from cnn_jax.ops.platform import platform

POOLS: dict[str, Callable[..., Array]] = {"max": ops.max_pool, "avg": ops.avg_pool, "min": ops.min_pool}


@dataclasses.dataclass(frozen=True)
class Pooling:
    """A pooling layer, which owns no parameters; kind is a key of POOLS.

    Attributes:
      name: of the layer, in the table and in errors.
      kind, window, strides, padding, ceil_mode: as the functions of `ops` take them.
    """

    name: str
    kind: str
    window: IntPair = 2
    strides: IntPair | None = None
    padding: Padding = "VALID"
    ceil_mode: bool = False

    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b oh ow c"]:
        """Pools, and records the layer."""
        row = self.row(x.shape[1:])
        with naming(self.name, x.shape[1:]):
            y = POOLS[self.kind](x, self.window, strides=self.strides, padding=self.padding, ceil_mode=self.ceil_mode)
        return emit(row, y)

    def after_norm(
        self, x: Float[Array, "b h w c"], scale: Float[Array, " c"], bias: Float[Array, " c"], **norm: Any
    ) -> tuple[Float[Array, "b oh ow c"], Float[Array, " c"], Float[Array, " c"]]:
        """Normalises and pools by `ops.batch_norm_max_pool_train`, whose arguments `norm` are; records the layer."""
        record_fused(self.row(x.shape[1:]))
        with naming(self.name, x.shape[1:]):
            return ops.batch_norm_max_pool_train(
                x,
                scale,
                bias,
                self.window,
                strides=self.strides,
                padding=self.padding,
                ceil_mode=self.ceil_mode,
                **norm,
            )

    @property
    def halves(self) -> bool:
        """Whether it is the pooling that `ops.conv2d_relu_max_pool` does."""
        taps = pair(self.window, "window")
        floors = (self.kind, self.padding, self.ceil_mode) == ("max", "VALID", False)
        return floors and taps == pair(self._steps, "strides") == (2, 2)

    @property
    def _steps(self) -> IntPair:
        return self.window if self.strides is None else self.strides

    def row(self, shape: tuple[int, ...]) -> LayerRow:
        """Works out the row for maps of this shape."""
        window = SlidingWindow(self.window, self._steps, self.padding, ceil_mode=self.ceil_mode)
        return window_row(self.name, f"{self.kind}_pool", shape, shape[-1], window)


def pool(
    name: str,
    x: Float[Array, "b h w c"],
    kind: str,
    window: IntPair,
    strides: IntPair | None,
    padding: Padding,
    ceil_mode: bool = False,
) -> Float[Array, "b oh ow c"]:
    """Pools as a config's fields say; kind "none" does nothing."""
    return x if kind == "none" else Pooling(name, kind, window, strides, padding, ceil_mode)(x)


def _pointwise(
    kernel: Array, strides: IntPair, x: Array, *norm: Array, near: Array, **rest: Any
) -> tuple[Array, Array, Array]:
    """A 1x1 convolution with the norm after it, which needs no value near the mean."""
    return ops.pointwise_batch_norm_train(x, kernel, *norm, strides=strides, **rest)


def adaptive_pool(name: str, x: Float[Array, "b h w c"], size: IntPair) -> Float[Array, "b oh ow c"]:
    """Averages a map of any size down to one size, and records the layer.

    The row's windows are the smallest of one size that hold the true ones, which differ by a pixel where the sizes do
    not divide.
    """
    outputs, pixels = pair(size, "size"), (x.shape[1], x.shape[2])
    steps = [max(1, n // count) for n, count in zip(pixels, outputs, strict=True)]
    taps = [n - (count - 1) * step if count <= n else n for n, count, step in zip(pixels, outputs, steps, strict=True)]
    row = LayerRow(
        name,
        "adaptive_avg_pool",
        x.shape[1:],
        (*outputs, x.shape[-1]),
        window=(taps[0], taps[1]),
        strides=(steps[0], steps[1]),
        dilation=(1, 1),
        pads=((0, 0), (0, 0)),
    )
    return emit(row, ops.adaptive_avg_pool(x, size))


class ConvBlock(KernelModule):
    """Convolution, normalisation and activation in a chosen order, then pooling; fused where `ops` can.

    Attributes:
      features, kernel_size, strides, dilation, groups: of the convolution.
      policy: of the network.
      padding: of the convolution; None is the policy's, or none where the kernel is a single pixel.
      order: "conv", "norm" and "activation" joined by hyphens, in the order wanted; what is left out is not done,
        and so is "norm" where the policy has none.
      pooling: done last.
      dropout: share of the convolution's inputs dropped in training.
      start_at_zero: whether what ends the block begins at zero: the norm's scale, or the kernel where no norm
        follows it.
    """

    features: int
    kernel_size: IntPair
    policy: Policy
    strides: IntPair = 1
    padding: Padding | None = None
    dilation: IntPair = 1
    groups: int = 1
    order: str = "conv-norm-activation"
    pooling: Pooling | None = None
    dropout: float = 0.0
    start_at_zero: bool = False

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"], train: bool) -> Float[Array, "b oh ow o"]:
        policy = self.policy
        parts = [part for part in self.order.split("-") if part != "norm" or policy.norm != "none"]
        after = parts[parts.index("conv") + 1 :]
        fused = (
            parts == ["conv", "activation"]
            and policy.activation == "relu"
            and self.pooling is not None
            and self.pooling.halves
            and pair(self.strides, "strides") == pair(self.dilation, "dilation") == (1, 1)
            and self.groups == 1
        )
        maps, joined = None, None  # of a norm that is done with the convolution before it
        for part in parts:
            if part == "conv":
                if self.dropout:
                    x = nn.Dropout(self.dropout, deterministic=not train, name="dropout")(x)
                # A bias before a norm would be taken off again with the mean.
                biased = policy.norm == "none" or after[:1] == ["activation"]
                padding, output, kernel, bias = self._layer(x, biased, self.start_at_zero and "norm" not in after)
                x = x.astype(policy.dtype)
                if fused and self.pooling is not None and bias is not None:
                    record_fused(self.pooling.row(output))
                    with naming("/".join(self.path), x.shape[1:]):
                        return ops.conv2d_relu_max_pool(x, kernel, bias, padding=padding, lowering=policy.lowering)
                if train and after[:1] == ["norm"] and self._joins_norm(x.shape[-1]):
                    maps, joined = (len(x), *output), functools.partial(_pointwise, kernel[0, 0], self.strides)
                else:
                    x = self._convolve(x, padding, kernel, bias)
            elif part == "norm":
                norm = Norm(policy, zero_scale=self.start_at_zero and "norm" in after, name="norm")
                if train and joined is None and (pooling := self._pooling_with_norm(after)) is not None:
                    x = norm(x, train, joined=pooling.after_norm)
                    return policy.activate(x) if "activation" in after else x
                x = norm(x, train, maps, joined)
            else:
                x = policy.activate(x)
        return x if self.pooling is None else self.pooling(x)

    def _joins_norm(self, channels: int) -> bool:
        """Whether the convolution and the norm after it are `ops.pointwise_batch_norm_train` in training.

        It reads and writes the fewer channels, for a few more multiplications.
        """
        pointwise = (pair(self.kernel_size, "kernel_size"), self.groups, self.padding) == ((1, 1), 1, None)
        return pointwise and 2 * channels <= self.features and self._may_join_norm()

    def _pooling_with_norm(self, after: list[str]) -> Pooling | None:
        """The pooling, where it and the norm are `ops.batch_norm_max_pool_train` in training, the activation last."""
        last = after == ["norm"] or (after == ["norm", "activation"] and self.policy.activation in NEVER_FALLING)
        largest = self.pooling is not None and self.pooling.kind == "max"
        return self.pooling if last and largest and self._may_join_norm() else None

    def _may_join_norm(self) -> bool:
        """On TPUs, whose memory is the bound, and where the norm learns."""
        policy = self.policy
        learns = policy.norm == "batch" and not policy.is_frozen((*self.path, "norm"))
        return platform() == "tpu" and policy.lowering in ("auto", "space_to_depth") and learns

    def _layer(self, x: Array, biased: bool, zero: bool) -> tuple[Padding, tuple[int, ...], Array, Array | None]:
        """Records the convolution; gives its padding, the shape of its output, its kernel and its bias."""
        name, channels, policy = "/".join(self.path), x.shape[-1], self.policy
        window = pair(self.kernel_size, "kernel_size")
        padding = self.padding
        if padding is None:
            padding = "VALID" if window == (1, 1) else policy.padding
        with naming(name, x.shape[1:]):
            if channels % self.groups or self.features % self.groups:
                raise GeometryError(
                    f"groups={self.groups} does not divide {channels} input channels and {self.features} features; "
                    f"use groups={math.gcd(channels, self.features, self.groups)}"
                )
            shape = (*window, channels // self.groups, self.features)
            check_kernel_size(shape)
        row = conv_row(
            name,
            x.shape[1:],
            self.features,
            SlidingWindow(window, self.strides, padding, self.dilation),
            weights=math.prod(shape),
            biases=self.features * biased,
            groups=self.groups,
        )
        record_fused(row)
        if zero:
            kernel = self.param("kernel", nn.initializers.zeros, shape)
        else:
            kernel = self.param("kernel", self.initial_kernel, shape, policy.kernel_init)
        bias = self.param("bias", nn.initializers.zeros, (self.features,)).astype(policy.dtype) if biased else None
        return padding, row.output_shape, kernel.astype(policy.dtype), bias

    def _convolve(self, x: Array, padding: Padding, kernel: Array, bias: Array | None) -> Array:
        with naming("/".join(self.path), x.shape[1:]):
            y = ops.conv2d(
                x,
                kernel,
                strides=self.strides,
                padding=padding,
                dilation=self.dilation,
                groups=self.groups,
                lowering=self.policy.lowering,
            )
        return y if bias is None else y + bias
