"""Inception v3: modules of factorized convolutions."""

from __future__ import annotations

import flax.linen as nn
from jaxtyping import Array, Float

from cnn_jax.blocks import ConvBlock, GlobalHead, InceptionV3Block, Policy, Pooling, adaptive_pool, pool
from cnn_jax.blocks.inception_v3 import Branch, BranchConv
from cnn_jax.config.networks import InceptionV3
from cnn_jax.layer_rows import Branches, SlidingWindow
from cnn_jax.ops.padding import Padding

LETTERS = ("bcd", "bcde", "bc")  # names of the modules at the three map sizes; module "a" halves the maps
POOLED = {"5b": 32, "5c": 64, "5d": 64}
FACTORIZED = {"6b": 128, "6c": 160, "6d": 160, "6e": 192}
AUXILIARY = ("6e", 128, 768)


class InceptionV3Module(nn.Module):
    """Five convolutions, modules at three map sizes, and a global head.

    It has 23,834,568 parameters, 27,161,264 with the auxiliary classifier.

    Source: Szegedy, Vanhoucke, Ioffe, Shlens and Wojna, "Rethinking the Inception architecture for computer vision",
      2016, table 1.
    """

    config: InceptionV3
    num_classes: int
    policy: Policy

    @nn.compact
    def __call__(
        self, images: Float[Array, "b h w c"], train: bool
    ) -> tuple[Float[Array, "b k"], tuple[Float[Array, "b k"], ...]]:
        config, x = self.config, self._stem(images, train)
        halving, aux_logits = config.reduction_padding, []
        for size, (count, letters) in enumerate(zip(config.modules, LETTERS, strict=True), start=5):
            if size > 5 and count:  # 35x35x288, 17x17x768, 8x8x2048
                branches = _halving_6(halving) if size == 6 else _halving_7(halving)
                x = self._module(f"{size}a", branches, x, train)
            for letter in letters[:count]:
                number = f"{size}{letter}"
                x = self._module(number, _branches(number, config.pooling), x, train)
            if size == 6 and count and config.aux_heads and (train or self.is_initializing()):
                aux_logits.append(self._classify(x, train))
        head = GlobalHead(self.num_classes, self.policy, config.dropout, name="head")
        return head(x, train), tuple(aux_logits)

    def _stem(self, images: Array, train: bool) -> Array:
        config, x = self.config, images
        window = SlidingWindow(3, 2, config.reduction_padding)

        def conv(name: str, features: int, kernel: int, x: Array, strides: int = 1, inside: bool = False) -> Array:
            padding = None if inside else config.stem_padding
            block: Array = ConvBlock(
                self._scaled(features), kernel, self.policy, strides=strides, padding=padding, name=name
            )(x, train)
            return block

        x = ConvBlock(
            self._scaled(32),
            3,
            self.policy,
            strides=config.stem_strides,
            padding=config.stem_padding,
            name="conv1a",
        )(x, train)  # 149x149x32 for 299 pixels
        x = conv("conv2a", 32, 3, x)
        x = conv("conv2b", 64, 3, x, inside=True)  # 147x147x64
        if config.stem_pools[0]:
            x = pool("pool1", x, "max", window)  # 73x73x64
        x = conv("conv3b", 80, 1, x, inside=True)
        x = conv("conv4a", 192, 3, x)  # 71x71x192
        return pool("pool2", x, "max", window) if config.stem_pools[1] else x  # 35x35x192

    def _module(self, number: str, branches: tuple[Branch, ...], x: Array, train: bool) -> Array:
        scaled = tuple(
            Branch(tuple(map(self._narrowed, branch.steps)), tuple(map(self._narrowed, branch.ends)), branch.pooling)
            for branch in branches
        )
        module: Array = InceptionV3Block(scaled, self.policy, name=f"mixed{number}")(x, train)
        return module

    def _narrowed(self, conv: BranchConv) -> BranchConv:
        return conv._replace(features=self._scaled(conv.features))

    def _classify(self, x: Array, train: bool) -> Array:
        """Auxiliary classifier: average pooling, two convolutions, and a global head."""
        _, reduced, features = AUXILIARY
        with Branches().branch(joined=False):
            adaptive = self.config.aux_pool == "adaptive"
            x = adaptive_pool("aux_pool", x, 5) if adaptive else Pooling("aux_pool", "avg", 5, 3)(x)
            x = ConvBlock(self._scaled(reduced), 1, self.policy, name="aux_conv1")(x, train)
            x = ConvBlock(self._scaled(features), 5, self.policy, padding="VALID", name="aux_conv2")(x, train)
            logits: Array = GlobalHead(self.num_classes, self.policy, name="aux_head")(x, train)
        return logits

    def _scaled(self, features: int) -> int:
        return max(1, round(self.config.width * features))


def _branches(number: str, pooling: str) -> tuple[Branch, ...]:
    """Returns the branches of a module that keeps the map size."""
    if number in POOLED:  # figure 5
        return (
            Branch((BranchConv("branch1x1", 64),)),
            Branch((BranchConv("branch5x5_1", 48), BranchConv("branch5x5_2", 64, 5))),
            Branch(
                (
                    BranchConv("branch3x3dbl_1", 64),
                    BranchConv("branch3x3dbl_2", 96, 3),
                    BranchConv("branch3x3dbl_3", 96, 3),
                )
            ),
            _pooled(pooling, POOLED[number]),
        )
    if number in FACTORIZED:  # figure 6
        inner = FACTORIZED[number]
        return (
            Branch((BranchConv("branch1x1", 192),)),
            Branch(
                (
                    BranchConv("branch7x7_1", inner),
                    BranchConv("branch7x7_2", inner, (1, 7)),
                    BranchConv("branch7x7_3", 192, (7, 1)),
                )
            ),
            Branch(
                (
                    BranchConv("branch7x7dbl_1", inner),
                    BranchConv("branch7x7dbl_2", inner, (7, 1)),
                    BranchConv("branch7x7dbl_3", inner, (1, 7)),
                    BranchConv("branch7x7dbl_4", inner, (7, 1)),
                    BranchConv("branch7x7dbl_5", 192, (1, 7)),
                )
            ),
            _pooled(pooling, 192),
        )
    return (  # figure 7
        Branch((BranchConv("branch1x1", 320),)),
        Branch(
            (BranchConv("branch3x3_1", 384),),
            (BranchConv("branch3x3_2a", 384, (1, 3)), BranchConv("branch3x3_2b", 384, (3, 1))),
        ),
        Branch(
            (BranchConv("branch3x3dbl_1", 448), BranchConv("branch3x3dbl_2", 384, 3)),
            (BranchConv("branch3x3dbl_3a", 384, (1, 3)), BranchConv("branch3x3dbl_3b", 384, (3, 1))),
        ),
        _pooled(pooling, 192),
    )


def _pooled(pooling: str, features: int) -> Branch:
    padded = None if pooling == "none" else (pooling, 1, 1)  # the zeros on each side count in an average
    return Branch((BranchConv("branch_pool", features),), pooling=padded)


def _halving_6(padding: Padding) -> tuple[Branch, ...]:
    """Figure 10: two convolution branches and a pooling branch, all with stride 2."""
    return (
        Branch((BranchConv("branch3x3", 384, 3, 2, padding),)),
        Branch(
            (
                BranchConv("branch3x3dbl_1", 64),
                BranchConv("branch3x3dbl_2", 96, 3),
                BranchConv("branch3x3dbl_3", 96, 3, 2, padding),
            )
        ),
        Branch(pooling=("max", 2, padding)),
    )


def _halving_7(padding: Padding) -> tuple[Branch, ...]:
    """Figure 10 with a factorized branch."""
    return (
        Branch((BranchConv("branch3x3_1", 192), BranchConv("branch3x3_2", 320, 3, 2, padding))),
        Branch(
            (
                BranchConv("branch7x7x3_1", 192),
                BranchConv("branch7x7x3_2", 192, (1, 7)),
                BranchConv("branch7x7x3_3", 192, (7, 1)),
                BranchConv("branch7x7x3_4", 192, 3, 2, padding),
            )
        ),
        Branch(pooling=("max", 2, padding)),
    )
