"""LeNet-5 (LeCun, Bottou, Bengio and Haffner, "Gradient-based learning applied to document recognition", 1998)."""

from __future__ import annotations

import math

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from cnn_jax import ops
from cnn_jax.blocks import ConvBlock, DenseHead, Policy, Pooling, RbfUnits
from cnn_jax.blocks.kernels import KernelModule
from cnn_jax.blocks.policy import activate
from cnn_jax.config.model import LeNet5
from cnn_jax.layer_rows import LayerRow, SlidingWindow, conv_row, emit, naming
from cnn_jax.ops.padding import IntPair, pair

# Table I of the paper: the maps of S2 that each of C3's 16 maps reads.
CONNECTIONS = (
    *(tuple((first + step) % 6 for step in range(3)) for first in range(6)),
    *(tuple((first + step) % 6 for step in range(4)) for first in range(6)),
    (0, 1, 3, 4),
    (1, 2, 4, 5),
    (0, 2, 3, 5),
    tuple(range(6)),
)


class LeNet5Module(nn.Module):
    """LeNet-5: C1, S2, C3, S4, C5, F6 and the output, as in the lecture's table 13-1.

    With the default config and 28x28x1 images it has 61,706 parameters; with trainable subsampling, the connection
    table and the radial basis output it has the paper's 60,000.
    """

    config: LeNet5
    num_classes: int
    policy: Policy

    @nn.compact
    def __call__(self, images: Float[Array, "b h w c"], train: bool) -> tuple[Float[Array, "b k"], tuple[()]]:
        config, policy = self.config, self.policy
        x = _padded(images, config.pad_to)  # 32x32x1
        c1, c3, c5 = config.features
        x = ConvBlock(c1, config.kernel_size, policy, strides=config.strides, name="C1")(x, train)  # 28x28x6
        x = self._subsample("S2", x)  # 14x14x6
        if config.connection == "table":
            x = TableConv(config.kernel_size, config.strides, policy, name="C3")(x)
        else:
            x = ConvBlock(c3, config.kernel_size, policy, strides=config.strides, name="C3")(x, train)  # 10x10x16
        x = self._subsample("S4", x)  # 5x5x16
        x = ConvBlock(c5, config.kernel_size, policy, name="C5")(x, train)  # 1x1x120
        if config.output == "dense":
            return DenseHead(config.dense, self.num_classes, policy, config.dropout, name="head")(x, train), ()
        hidden = DenseHead(config.dense, None, policy, config.dropout, name="head")(x, train)
        return RbfUnits(self.num_classes, config.prototypes, name="rbf")(hidden), ()

    def _subsample(self, name: str, x: Array) -> Array:
        config = self.config
        x = Pooling(name, config.pooling, config.pool_window, config.pool_strides, config.pool_padding)(x)
        if config.subsampling == "trainable":
            x = Scale(name=f"{name}_scale")(x)
        return activate(config.pool_activation, x)


class Scale(nn.Module):
    """Multiplies each map by a learned coefficient and adds a learned bias."""

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b h w c"]:
        channels = x.shape[-1]
        coefficient = self.param("coefficient", nn.initializers.ones, (channels,))
        bias = self.param("bias", nn.initializers.zeros, (channels,))
        y = x * coefficient.astype(x.dtype) + bias.astype(x.dtype)
        return emit(LayerRow("/".join(self.path), "scale", x.shape[1:], x.shape[1:], 2 * channels), y)


class TableConv(KernelModule):
    """C3 with the paper's connections: each output map reads 3, 4 or 6 of the 6 input maps. An activation follows.

    Its kernel [height, width, 60] holds one plane per connection, in the order of the output maps.
    """

    kernel_size: IntPair
    strides: IntPair
    policy: Policy

    @nn.compact
    def __call__(self, x: Float[Array, "b h w 6"]) -> Float[Array, "b oh ow 16"]:
        name, window = "/".join(self.path), pair(self.kernel_size, "kernel_size")
        sources, targets = _connected()
        planes, features = len(sources), len(CONNECTIONS)
        row = conv_row(
            name,
            x.shape[1:],
            features,
            SlidingWindow(window, self.strides, self.policy.padding),
            weights=math.prod(window) * planes,
            biases=features,
        )
        # Drawn as a full kernel; only the connected planes are kept.
        full = (*window, x.shape[-1], features)
        kernel = self.param(
            "kernel", lambda key: self.initial_kernel(key, full, self.policy.kernel_init)[:, :, sources, targets]
        )
        bias = self.param("bias", nn.initializers.zeros, (features,))
        dense = jnp.zeros(full, kernel.dtype).at[:, :, sources, targets].set(kernel).astype(self.policy.dtype)
        with naming(name, x.shape[1:]):
            y = ops.conv2d(
                x.astype(self.policy.dtype),
                dense,
                strides=self.strides,
                padding=self.policy.padding,
                lowering=self.policy.lowering,
            )
        return self.policy.activate(emit(row, y + bias.astype(y.dtype)))


def full_kernel(planes: Float[np.ndarray, "kh kw 60"]) -> Float[np.ndarray, "kh kw 6 16"]:
    """Expands the kernel of a `TableConv` to a full convolution's, with zeros where maps are not connected."""
    sources, targets = _connected()
    full = np.zeros((*planes.shape[:2], max(sources) + 1, len(CONNECTIONS)), planes.dtype)
    full[:, :, sources, targets] = planes
    return full


def _connected() -> tuple[np.ndarray, np.ndarray]:
    """Returns the input map and the output map of each connection of C3."""
    sources = np.concatenate([np.array(maps) for maps in CONNECTIONS])
    return sources, np.repeat(np.arange(len(CONNECTIONS)), [len(maps) for maps in CONNECTIONS])


def _padded(images: Array, size: int | None) -> Array:
    """Pads images to at least `size` x `size` pixels with zeros on all sides."""
    if size is None:
        return images
    missing = [max(size - n, 0) for n in images.shape[1:3]]
    if not any(missing):
        return images
    (top, bottom), (left, right) = pads = tuple((n // 2, n - n // 2) for n in missing)
    padded = jnp.pad(images, ((0, 0), (top, bottom), (left, right), (0, 0)))
    row = LayerRow(
        "pad",
        "pad",
        images.shape[1:],
        padded.shape[1:],
        window=(1, 1),
        strides=(1, 1),
        dilation=(1, 1),
        pads=(pads[0], pads[1]),
    )
    return emit(row, padded)
