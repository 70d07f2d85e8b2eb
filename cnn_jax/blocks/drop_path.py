"""Stochastic depth."""

from __future__ import annotations

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from cnn_jax.layer_rows import LayerRow, emit


class DropPath(nn.Module):
    """Zeroes a branch for randomly chosen images in training, and scales up the others to keep the mean.

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
    """Returns each block's drop rate, which grows linearly from 0 to `last`."""
    return tuple(last * number / max(blocks - 1, 1) for number in range(blocks))
