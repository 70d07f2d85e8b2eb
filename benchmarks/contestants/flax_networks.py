"""The networks in plain Flax Linen; every map has the size that torchvision's has.

Layers compute in a dtype, with float32 parameters; the logits are float32.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import flax.linen as nn
import jax.numpy as jnp
from layouts import INCEPTIONS, RESNET18, RESNET50


class CNN(nn.Module):
    """The lecture's, for 28x28x1."""

    classes: int
    dtype: jnp.dtype

    @nn.compact
    def __call__(self, x, train: bool):
        for features in (32, 64):
            x = nn.relu(nn.Conv(features, (3, 3), padding="VALID", dtype=self.dtype)(x))
            x = nn.max_pool(x, (2, 2), strides=(2, 2))
        x = nn.relu(nn.Conv(64, (3, 3), padding="VALID", dtype=self.dtype)(x))
        x = x.reshape(len(x), -1)
        return nn.Dense(self.classes)(nn.relu(nn.Dense(64, dtype=self.dtype)(x)))


class AlexNet(nn.Module):
    """AlexNet as torchvision has it, for 224x224x3."""

    classes: int
    dtype: jnp.dtype

    @nn.compact
    def __call__(self, x, train: bool):
        pool = functools.partial(nn.max_pool, window_shape=(3, 3), strides=(2, 2))
        x = pool(nn.relu(nn.Conv(64, (11, 11), strides=4, padding=2, dtype=self.dtype)(x)))
        x = pool(nn.relu(nn.Conv(192, (5, 5), dtype=self.dtype)(x)))
        for features in (384, 256, 256):
            x = nn.relu(nn.Conv(features, (3, 3), dtype=self.dtype)(x))
        x = pool(x).reshape(len(x), -1)
        for _ in range(2):
            x = nn.Dropout(0.5, deterministic=not train)(x)
            x = nn.relu(nn.Dense(4096, dtype=self.dtype)(x))
        return nn.Dense(self.classes)(x)


class Normed(nn.Module):
    """Convolution without bias, then batch normalisation."""

    features: int
    kernel: int
    dtype: jnp.dtype
    stride: int = 1
    eps: float = 1e-5

    @nn.compact
    def __call__(self, x, train: bool):
        window, dtype = (self.kernel, self.kernel), self.dtype
        x = nn.Conv(self.features, window, strides=self.stride, use_bias=False, dtype=dtype)(x)
        return nn.BatchNorm(use_running_average=not train, momentum=0.9, epsilon=self.eps, dtype=dtype)(x)


class GoogLeNet(nn.Module):
    """GoogLeNet as torchvision has it, without auxiliary heads, for 224x224x3."""

    classes: int
    dtype: jnp.dtype

    @nn.compact
    def __call__(self, x, train: bool):
        def convolution(x, features, kernel, stride=1):
            return nn.relu(Normed(features, kernel, self.dtype, stride, eps=1e-3)(x, train))

        def pool(x, window, stride):
            return nn.max_pool(x, (window, window), strides=(stride, stride), padding="SAME")

        x = pool(convolution(x, 64, 7, 2), 3, 2)
        x = pool(convolution(convolution(x, 64, 1), 192, 3), 3, 2)
        for blocks, pooling in INCEPTIONS:
            for a, b1, b3, c1, c3, d in blocks:
                branches = [
                    convolution(x, a, 1),
                    convolution(convolution(x, b1, 1), b3, 3),
                    convolution(convolution(x, c1, 1), c3, 3),
                    convolution(pool(x, 3, 1), d, 1),
                ]
                x = jnp.concatenate(branches, axis=-1)
            if pooling:
                x = pool(x, pooling, 2)
        x = nn.Dropout(0.2, deterministic=not train)(x.mean((1, 2)))
        return nn.Dense(self.classes)(x)


class Residual(nn.Module):
    """Two 3x3 convolutions, or a bottleneck of three with the stride in its 3x3, and the way around them."""

    features: int
    stride: int
    bottleneck: bool
    dtype: jnp.dtype

    @nn.compact
    def __call__(self, x, train: bool):
        outputs = 4 * self.features if self.bottleneck else self.features
        normed = functools.partial(Normed, dtype=self.dtype)
        same = self.stride == 1 and x.shape[-1] == outputs
        around = x if same else normed(outputs, 1, stride=self.stride)(x, train)
        if self.bottleneck:
            x = nn.relu(normed(self.features, 1)(x, train))
        x = nn.relu(normed(self.features, 3, stride=self.stride)(x, train))
        x = normed(outputs, 1 if self.bottleneck else 3)(x, train)
        return nn.relu(x + around)


class ResNet(nn.Module):
    """ResNet with torchvision's stem for 224x224x3, or the small one for 32x32x3: 3x3, stride 1, no pooling."""

    classes: int
    dtype: jnp.dtype
    stages: tuple[int, ...]
    bottleneck: bool
    small_stem: bool

    @nn.compact
    def __call__(self, x, train: bool):
        if self.small_stem:
            x = nn.relu(Normed(64, 3, self.dtype)(x, train))
        else:
            x = nn.relu(Normed(64, 7, self.dtype, 2)(x, train))
            x = nn.max_pool(x, (3, 3), strides=(2, 2), padding="SAME")
        for stage, blocks in enumerate(self.stages):
            for block in range(blocks):
                stride = 2 if stage and not block else 1
                x = Residual(64 * 2**stage, stride, self.bottleneck, self.dtype)(x, train)
        return nn.Dense(self.classes)(x.mean((1, 2)))


NETWORKS: dict[str, Callable[..., nn.Module]] = {
    "cnn": CNN,
    "alexnet": AlexNet,
    "googlenet": GoogLeNet,
    "resnet18": functools.partial(ResNet, stages=RESNET18, bottleneck=False, small_stem=True),
    "resnet18_fashion": functools.partial(ResNet, stages=RESNET18, bottleneck=False, small_stem=True),
    "resnet50": functools.partial(ResNet, stages=RESNET50, bottleneck=True, small_stem=False),
}
