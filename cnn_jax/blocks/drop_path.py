"""Stochastic depth: in training a branch is left out for some of the images."""

from __future__ import annotations

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from cnn_jax.layer_rows import LayerRow, emit


class DropPath(nn.Module):
    """Sets the maps of a share of the images to zero in training, and scales up the others to keep the mean.

    Source: Huang, Sun, Liu, Sedra and Weinberger, "Deep networks with stochastic depth", 2016, section 3.
    """

    rate: float

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"], train: bool) -> Float[Array, "b h w c"]:
        y = x
        if train:
            kept = jax.random.bernoulli(self.make_rng("dropout"), 1 - self.rate, (len(x), 1, 1, 1))
            y = jnp.where(kept, x / (1 - self.rate), 0).astype(x.dtype)
        return emit(LayerRow("/".join(self.path), "dropout", x.shape[1:], x.shape[1:]), y)


def drop_rates(last: float, blocks: int) -> tuple[float, ...]:
    """Shares of the images for which each block of a network is left out: they rise evenly from 0 in the first one.

    Args:
      last: Share of the last block.
      blocks: Number of blocks.
    """
    return tuple(last * number / max(blocks - 1, 1) for number in range(blocks))
