"""Random changes of training images, on the device and keyed."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, PRNGKeyArray, Shaped

from cnn_jax.config import Data


def augment(key: PRNGKeyArray, images: Shaped[Array, "b h w c"], config: Data) -> Shaped[Array, "b h w c"]:
    """Applies all that a config asks for, in a fixed order.

    Args:
      key: of this batch.
      images: pixels, before normalisation.
      config: its `flip` and `shift`.

    Returns:
      Images of the same shape.
    """
    flip_key, shift_key = jax.random.split(key)
    if config.flip:
        images = random_flip(flip_key, images)
    if config.shift:
        images = random_shift(shift_key, images, config.shift)
    return images


def random_flip(key: PRNGKeyArray, images: Shaped[Array, "b h w c"]) -> Shaped[Array, "b h w c"]:
    """Mirrors each image left to right with probability 1/2."""
    mirrored = jax.random.bernoulli(key, shape=(images.shape[0], 1, 1, 1))
    return jnp.where(mirrored, images[:, :, ::-1], images)


def random_shift(key: PRNGKeyArray, images: Shaped[Array, "b h w c"], pixels: int) -> Shaped[Array, "b h w c"]:
    """Moves each image by up to `pixels` in both directions, zeros entering at the border.

    Args:
      key: of this batch.
      images: pixels, channels last.
      pixels: the largest shift; every shift from -pixels to pixels is equally likely.

    Returns:
      Images of the same shape.
    """
    batch, height, width, channels = images.shape
    padded = jnp.pad(images, ((0, 0), (pixels, pixels), (pixels, pixels), (0, 0)))
    offsets = jax.random.randint(key, (batch, 2), 0, 2 * pixels + 1)

    def crop(image: Array, offset: Array) -> Array:
        return jax.lax.dynamic_slice(image, (offset[0], offset[1], 0), (height, width, channels))

    return jax.vmap(crop)(padded, offsets)
