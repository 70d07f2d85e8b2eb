"""Rectangles of images, and what is done inside them: cutout and random erasing."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int32, PRNGKeyArray

_ATTEMPTS = 10  # at sizes of a rectangle; with the defaults all of them fail for one image in 10^13


class Rectangles(NamedTuple):
    """One rectangle for each image, which may hang over its edges; in pixels."""

    top: Int32[Array, " b"]
    left: Int32[Array, " b"]
    height: Int32[Array, " b"]
    width: Int32[Array, " b"]


def inside(rectangles: Rectangles, height: int, width: int) -> tuple[Bool[Array, "b h"], Bool[Array, "b w"]]:
    """Marks the rows and the columns of images that their rectangles cover."""

    def covered(first: Array, length: Array, size: int) -> Array:
        place = jnp.arange(size)
        return (place >= first[:, None]) & (place < (first + length)[:, None])

    return covered(rectangles.top, rectangles.height, height), covered(rectangles.left, rectangles.width, width)


def replace(
    images: Float[Array, "b h w c"], rectangles: Rectangles, content: Float[Array, "*"] | float
) -> Float[Array, "b h w c"]:
    """Puts other content, which is broadcast to the images' shape, into their rectangles."""
    rows, columns = inside(rectangles, *images.shape[1:3])
    return jnp.where(rows[:, :, None, None] & columns[:, None, :, None], content, images)


def cutout(key: PRNGKeyArray, images: Float[Array, "b h w c"], side: int) -> Float[Array, "b h w c"]:
    """Zeroes a square of each image.

    Args:
      key: PRNG key of this batch.
      images: Normalised; 0 is the mean colour after "standardize", black after "scale".
      side: Side of the square, in pixels. Its centre is any pixel of the image, so part of it may lie outside.

    Returns:
      Images of the same shape.

    Source: DeVries and Taylor, Improved Regularization of Convolutional Neural Networks with Cutout, 2017.
    """
    batch, height, width, _ = images.shape
    lengths = jnp.full(batch, side)
    return replace(images, around(key, lengths, lengths, height, width), 0.0)


def around(
    key: PRNGKeyArray, heights: Int32[Array, " b"], widths: Int32[Array, " b"], height: int, width: int
) -> Rectangles:
    """Rectangles of given sizes whose centres are pixels drawn from all of the image's."""
    row, column = jax.random.randint(key, (2, len(heights)), 0, jnp.asarray([[height], [width]]))
    return Rectangles(row - heights // 2, column - widths // 2, heights, widths)


def random_erasing(
    key: PRNGKeyArray,
    images: Float[Array, "b h w c"],
    probability: float,
    area: tuple[float, float],
    aspect: tuple[float, float],
    fill: Float[Array, "*"] | float,
) -> Float[Array, "b h w c"]:
    """Replaces a rectangle of some of the images.

    Its area and aspect are uniform; both are drawn again, up to ten times, where the image cannot hold such a
    rectangle, and then it is put anywhere into the image with equal chances.

    Args:
      key: PRNG key of this batch.
      images: Normalised.
      probability: Probability that an image loses a rectangle.
      area: Least and greatest share of the image.
      aspect: Least and greatest height over width.
      fill: Values of the rectangle, normalised too; broadcast to the images' shape.

    Returns:
      Images of the same shape.

    Source: Zhong et al., Random Erasing Data Augmentation, 2017, algorithm 1.
    """
    batch, height, width, _ = images.shape
    chosen_key, area_key, aspect_key, place_key = jax.random.split(key, 4)
    chosen = jax.random.bernoulli(chosen_key, probability, (batch,))
    shares = jax.random.uniform(area_key, (_ATTEMPTS, batch), minval=area[0], maxval=area[1])
    aspects = jax.random.uniform(aspect_key, (_ATTEMPTS, batch), minval=aspect[0], maxval=aspect[1])
    pixels = shares * (height * width)
    heights, widths = (jnp.round(jnp.sqrt(side)).astype(jnp.int32) for side in (pixels * aspects, pixels / aspects))
    fits = (heights <= height) & (widths <= width)
    first = jnp.argmax(fits, axis=0)
    heights, widths = heights[first, jnp.arange(batch)], widths[first, jnp.arange(batch)]
    erased = chosen & jnp.any(fits, axis=0)
    heights, widths = (jnp.where(erased, jnp.maximum(side, 1), 0) for side in (heights, widths))
    free = jnp.stack([height - heights, width - widths])
    top, left = jax.random.randint(place_key, (2, batch), 0, free + 1)
    return replace(images, Rectangles(top, left, heights, widths), fill)
