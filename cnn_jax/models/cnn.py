"""The lecture's network as a configurable stack."""

from __future__ import annotations

from typing import Any

import flax.linen as nn
from jaxtyping import Array, Float

from cnn_jax.blocks import ACTIVATIONS, Conv, DenseHead, Pool
from cnn_jax.config import Cnn, is_per_stage


class CnnModule(nn.Module):
    """Stages of convolution, bias, activation and pooling, then a dense head.

    With the default config and 28x28x1 images it is the Keras network of the lecture: 93,322 parameters.
    """

    config: Cnn
    num_classes: int

    @nn.compact
    def __call__(self, images: Float[Array, "b h w c"], train: bool) -> tuple[Float[Array, "b k"], tuple[()]]:
        config, x = self.config, images
        for stage, features in enumerate(config.features):
            number = stage + 1
            x = Conv(
                features,
                _at(config, "kernel_size", stage),
                _at(config, "strides", stage),
                _at(config, "padding", stage),
                config.kernel_init,
                config.lowering,
                name=f"conv{number}",
            )(x)
            x = ACTIVATIONS[config.activation](x)
            kind = _at(config, "pooling", stage)
            if kind != "none":
                window, strides = _at(config, "pool_window", stage), _at(config, "pool_strides", stage)
                x = Pool(kind, window, strides, _at(config, "pool_padding", stage), name=f"pool{number}")(x)
        head = DenseHead(
            config.dense, self.num_classes, config.activation, config.dropout, config.kernel_init, name="head"
        )
        return head(x, train), ()


def _at(config: Cnn, field: str, stage: int) -> Any:
    """A field's value at one stage, counted from 0."""
    value = getattr(config, field)
    if not is_per_stage(field, value):
        return value
    return value[stage] if len(value) > 1 else value[0]
