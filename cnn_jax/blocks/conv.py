"""Convolution block: convolution, norm, activation and pooling."""

from __future__ import annotations

import math
from typing import NamedTuple

import flax.linen as nn
from jaxtyping import Array, Float

from cnn_jax import ops
from cnn_jax.blocks import fusion
from cnn_jax.blocks.kernels import KernelModule
from cnn_jax.blocks.norm import BatchNormInputs, FusedNorm, Norm
from cnn_jax.blocks.policy import Policy
from cnn_jax.blocks.pooling import Pooling
from cnn_jax.layer_rows import (
    ACTIVATION,
    LayerRow,
    SlidingWindow,
    check_kernel_size,
    conv_row,
    emit,
    is_watched,
    naming,
    record_fused,
)
from cnn_jax.ops.padding import GeometryError, IntPair, Padding, pair
from cnn_jax.ops.platform import platform


class _Convolution(NamedTuple):
    """A convolution ready to run: its row, its resolved padding and its parameters."""

    row: LayerRow
    padding: Padding
    kernel: Array
    bias: Array | None


# More than ten fields: the arguments of `ops.conv2d` and the settings of the layers around it.
class ConvBlock(KernelModule):
    """Convolution, normalization and activation in a chosen order, then pooling.

    `fusion.plan` chooses the parts that are computed together. The block's own row in the layer table is the
    convolution with its bias, before norm and activation.

    Attributes:
      features: Channels of the output.
      kernel_size: (height, width) of the kernel in pixels, or one number for both.
      policy: The network's policy.
      strides, dilation, groups: Settings of the convolution.
      padding: Padding of the convolution; None is the policy's, and no padding for a 1x1 kernel.
      order: "conv", "norm" and "activation" joined by hyphens in the order of computation. Parts may be omitted; "norm"
        is skipped if the policy has no norm.
      pooling: Pooling at the end of the block.
      dropout: Dropout rate of the convolution's inputs in training.
      zero_init: Whether the block's last parameters start at zero: the norm's scale, or the kernel if no norm follows.
      bias: Whether to add a bias even with batch or group norm, which omit it by default.
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
    zero_init: bool = False
    bias: bool = False

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"], train: bool) -> Float[Array, "b oh ow o"]:
        for group in self._plan(x.shape[-1], train):
            if "conv" in group:
                x = self._inputs(x, train)
            match group:
                case ("conv",):
                    x = self._convolve(x)
                case ("norm",):
                    x = self._norm()(x, train)
                case ("activation",):
                    x = self.policy.activate(x)
                case ("pooling",) if self.pooling is not None:
                    x = self.pooling(x)
                case ("conv", "activation", "pooling") if self.pooling is not None:
                    x = self._convolve_relu_max_pool(x, self.pooling)
                case ("conv", "norm"):
                    x = self._convolve_norm(x, train)
                case ("norm", *activation, "pooling") if self.pooling is not None:
                    x = self._norm_max_pool(x, train, self.pooling, activated=bool(activation))
                case _:
                    raise ValueError(f"order={self.order!r}: no way to compute {'-'.join(group)} together")
        return x

    def _plan(self, channels: int, train: bool) -> tuple[fusion.FusedParts, ...]:
        batch_statistics = self.policy.uses_batch_statistics((*self.path, "norm"), train)
        names = {"conv": "/".join(self.path), "norm": "/".join((*self.path, "norm"))}
        watched = [part for part, name in names.items() if is_watched(name) or ops.has_relu_backward()]
        if any(is_watched(name + ACTIVATION) for name in names.values()):
            watched.append("activation")
        return fusion.plan(self, channels, batch_statistics, platform(), watched)

    def _inputs(self, x: Array, train: bool) -> Array:
        """Returns the convolution's inputs after dropout, in the policy's dtype."""
        if self.dropout:
            x = nn.Dropout(self.dropout, deterministic=not train, name="dropout")(x)
        return x.astype(self.policy.dtype)

    def _after(self) -> tuple[str, ...]:
        """Returns the parts after the convolution."""
        parts = fusion.parts_of(self)
        return parts[parts.index("conv") + 1 :]

    def _norm(self) -> Norm:
        return Norm(self.policy, zero_init=self.zero_init and "norm" in self._after(), name="norm")

    def _convolve(self, x: Array) -> Array:
        conv = self._convolution(x)
        with naming(conv.row.name, x.shape[1:]):
            y = ops.conv2d(
                x,
                conv.kernel,
                strides=self.strides,
                padding=conv.padding,
                dilation=self.dilation,
                groups=self.groups,
                lowering=self.policy.lowering,
            )
        return emit(conv.row, y if conv.bias is None else y + conv.bias)

    def _convolve_relu_max_pool(self, x: Array, pooling: Pooling) -> Array:
        conv = self._convolution(x)
        record_fused(conv.row)
        row = pooling.row(conv.row.output_shape)
        assert conv.bias is not None  # since an activation follows
        with naming(conv.row.name, x.shape[1:]):
            y = ops.conv2d_relu_max_pool(x, conv.kernel, conv.bias, padding=conv.padding, lowering=self.policy.lowering)
        return emit(row, y)

    def _convolve_norm(self, x: Array, train: bool) -> Array:
        conv, norm = self._convolution(x), self._norm()
        record_fused(conv.row)

        def compute(inputs: BatchNormInputs) -> tuple[Array, Array, Array]:
            return ops.pointwise_batch_norm_train(
                x,
                conv.kernel[0, 0],
                inputs.scale,
                inputs.bias,
                strides=self.strides,
                eps=inputs.eps,
                parts=inputs.parts,
            )

        y = norm(x, train, FusedNorm((len(x), *conv.row.output_shape), compute))
        return emit(norm.row(conv.row.output_shape), y)

    def _norm_max_pool(self, x: Array, train: bool, pooling: Pooling, activated: bool) -> Array:
        norm, row = self._norm(), pooling.row(x.shape[1:])
        record_fused(norm.row(x.shape[1:]))

        def compute(inputs: BatchNormInputs) -> tuple[Array, Array, Array]:
            with naming(pooling.name, x.shape[1:]):
                return ops.batch_norm_max_pool_train(
                    x,
                    inputs.scale,
                    inputs.bias,
                    pooling.window,
                    strides=pooling.strides,
                    padding=pooling.padding,
                    ceil_mode=pooling.ceil_mode,
                    shift=inputs.shift,
                    eps=inputs.eps,
                    parts=inputs.parts,
                )

        y = norm(x, train, FusedNorm(x.shape, compute))
        return emit(row, self.policy.activate(y) if activated else y)

    def _convolution(self, x: Array) -> _Convolution:
        """Checks the convolution's geometry and creates its parameters."""
        name, channels, policy, after = "/".join(self.path), x.shape[-1], self.policy, self._after()
        window, padding = pair(self.kernel_size, "kernel_size"), self.padding
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
        # No bias with batch norm, which would subtract it with the mean, nor by convention with group norm, unless an
        # activation directly follows the convolution.
        biased = self.bias or policy.norm in ("none", "layer") or after[:1] == ("activation",)
        row = conv_row(
            name,
            x.shape[1:],
            self.features,
            SlidingWindow(window, self.strides, padding, self.dilation),
            weights=math.prod(shape),
            biases=self.features * biased,
            groups=self.groups,
        )
        if self.zero_init and "norm" not in after:
            kernel = self.param("kernel", nn.initializers.zeros, shape)
        else:
            kernel = self.param("kernel", self.initial_kernel, shape, policy.kernel_init)
        bias = self.param("bias", nn.initializers.zeros, (self.features,)).astype(policy.dtype) if biased else None
        return _Convolution(row, padding, kernel.astype(policy.dtype), bias)
