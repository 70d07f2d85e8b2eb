"""GoogLeNet as in the paper and as in torchvision, which differ in their config defaults."""

from __future__ import annotations

import flax.linen as nn
from jaxtyping import Array, Float

from cnn_jax.blocks import AuxiliaryHead, ConvBlock, GlobalHead, InceptionBlock, Policy, lrn, pool
from cnn_jax.config.model import GoogLeNet, TorchvisionGoogLeNet
from cnn_jax.layer_rows import Branches, SlidingWindow
from cnn_jax.ops.padding import IntPair

# Table 1 of the paper: channels of 1x1; 3x3 reduction, 3x3; 5x5 reduction, 5x5; 1x1 after pooling.
MODULES = {
    "3a": (64, 96, 128, 16, 32, 32),
    "3b": (128, 128, 192, 32, 96, 64),
    "4a": (192, 96, 208, 16, 48, 64),
    "4b": (160, 112, 224, 24, 64, 64),
    "4c": (128, 128, 256, 24, 64, 64),
    "4d": (112, 144, 288, 32, 64, 64),
    "4e": (256, 160, 320, 32, 128, 128),
    "5a": (256, 160, 320, 32, 128, 128),
    "5b": (384, 192, 384, 48, 128, 128),
}
AUXILIARY = {"4a": "aux1", "4d": "aux2"}
AUXILIARY_FEATURES = 128


class GoogLeNetModule(nn.Module):
    """A stem of three convolutions, nine inception modules, and a global head.

    The paper's network has 6,998,552 parameters, 13,378,280 with the two auxiliary classifiers; torchvision's has
    6,624,904 and 13,004,888.

    Source: Szegedy et al., "Going deeper with convolutions", 2015, table 1.
    """

    config: GoogLeNet | TorchvisionGoogLeNet
    num_classes: int
    policy: Policy

    @nn.compact
    def __call__(
        self, images: Float[Array, "b h w c"], train: bool
    ) -> tuple[Float[Array, "b k"], tuple[Float[Array, "b k"], ...]]:
        config, policy, x = self.config, self.policy, images
        first, reduced, last = map(self._scaled, config.stem_features)
        x = ConvBlock(first, config.stem_kernel_size, policy, strides=config.stem_strides, name="conv1")(x, train)
        if config.stem_pools[0]:  # 112x112x64
            x = self._pool("pool1", x)
        if config.lrn:  # 56x56x64
            x = lrn("lrn1", x, k=1.0, mean=True)
        x = ConvBlock(reduced, 1, policy, name="conv2_reduce")(x, train)
        x = ConvBlock(last, 3, policy, name="conv2")(x, train)
        if config.lrn:  # 56x56x192
            x = lrn("lrn2", x, k=1.0, mean=True)
        if config.stem_pools[1]:
            x = self._pool("pool2", x)
        aux_logits = []
        for stage, count in zip((3, 4, 5), config.modules, strict=True):  # 28x28x480, 14x14x832, 7x7x1024
            if stage > 3 and count:
                x = self._pool(f"pool{stage - 1}", x, config.last_pool_window if stage == 5 else config.pool_window)
            for letter in "abcde"[:count]:
                module = f"{stage}{letter}"
                features = tuple(map(self._scaled, MODULES[module]))
                x = InceptionBlock(features, policy, config.five_by_five, config.pooling, name=f"inception{module}")(
                    x, train
                )
                if config.aux_heads and module in AUXILIARY and (train or self.is_initializing()):
                    aux_logits.append(self._classify(AUXILIARY[module], x, train))
        return GlobalHead(self.num_classes, policy, config.dropout, name="head")(x, train), tuple(aux_logits)

    def _pool(self, name: str, x: Array, window: IntPair | None = None) -> Array:
        config = self.config
        size = config.pool_window if window is None else window
        sliding = SlidingWindow(size, config.pool_strides, config.pool_padding, ceil_mode=config.pool_ceil)
        return pool(name, x, config.pooling, sliding)

    def _classify(self, name: str, x: Array, train: bool) -> Array:
        config = self.config
        with Branches().branch(joined=False):
            logits: Array = AuxiliaryHead(
                self._scaled(AUXILIARY_FEATURES),
                config.aux_dense,
                self.num_classes,
                self.policy,
                config.aux_dropout,
                config.aux_pool == "adaptive",
                name=name,
            )(x, train)
        return logits

    def _scaled(self, features: int) -> int:
        return max(1, round(self.config.width * features))
