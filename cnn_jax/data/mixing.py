"""Two images and their targets into one: mixup and cutmix.

Each image's partner is the one before it in the batch, the first one's is the last: the order of an epoch is
random, so every pair of images is equally likely, and on several devices only one image travels between
neighbours. What fills up the last batch of an epoch is images of the training set, and good enough as partners.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from cnn_jax.data.erasing import around, inside, replace

Mixed = tuple[Float[Array, "b h w c"], Float[Array, "b k"]]


def mix(
    key: PRNGKeyArray,
    images: Float[Array, "b h w c"],
    targets: Float[Array, "b k"],
    mixup_alpha: float,
    cutmix_alpha: float,
) -> Mixed:
    """Applies mixup, cutmix, or, where both are asked for, one of them to each batch with equal chances.

    Args:
      key: of this batch.
      images: normalised.
      targets: probabilities of the classes.
      mixup_alpha, cutmix_alpha: of their Beta distributions; 0 is off.

    Returns:
      (images, targets), of the same shapes.
    """
    if not cutmix_alpha:
        return mixup(key, images, targets, mixup_alpha)
    if not mixup_alpha:
        return cutmix(key, images, targets, cutmix_alpha)
    coin_key, key = jax.random.split(key)
    mixed: Mixed = jax.lax.cond(
        jax.random.bernoulli(coin_key),
        lambda: mixup(key, images, targets, mixup_alpha),
        lambda: cutmix(key, images, targets, cutmix_alpha),
    )
    return mixed


def mixup(key: PRNGKeyArray, images: Float[Array, "b h w c"], targets: Float[Array, "b k"], alpha: float) -> Mixed:
    """Blends each image with its partner, and their targets by the same shares.

    Args:
      key: of this batch.
      images: normalised.
      targets: probabilities of the classes.
      alpha: each image's own share comes from Beta(alpha, alpha), for each image anew.

    Returns:
      (images, targets), of the same shapes.

    Source: Zhang et al., mixup: Beyond Empirical Risk Minimization, 2018 (there one share for a whole batch).
    """
    shares = jax.random.beta(key, alpha, alpha, (len(images),))
    return _blend(images, shares[:, None, None, None]), _blend(targets, shares[:, None])


def cutmix(key: PRNGKeyArray, images: Float[Array, "b h w c"], targets: Float[Array, "b k"], alpha: float) -> Mixed:
    """Pastes a rectangle of its partner into each image, at the same place, and mixes the targets by its area.

    The rectangle has the image's aspect, its centre is any pixel of the image, and what hangs over the edge is
    lost: the targets follow the area that is left.

    Args:
      key: of this batch.
      images: normalised.
      targets: probabilities of the classes.
      alpha: the share of the area that is kept comes from Beta(alpha, alpha), for each image anew.

    Returns:
      (images, targets), of the same shapes.

    Source: Yun et al., CutMix, 2019, algorithm A1 (there one rectangle for a whole batch).
    """
    batch, height, width, _ = images.shape
    share_key, place_key = jax.random.split(key)
    scale = jnp.sqrt(1 - jax.random.beta(share_key, alpha, alpha, (batch,)))
    heights, widths = ((scale * size).astype(jnp.int32) for size in (height, width))
    rectangles = around(place_key, heights, widths, height, width)
    rows, columns = inside(rectangles, height, width)
    pasted = jnp.sum(rows, axis=1) * jnp.sum(columns, axis=1)
    shares = 1 - pasted / (height * width)
    return replace(images, rectangles, _partners(images)), _blend(targets, shares[:, None])


def _partners(array: Float[Array, "b *_"]) -> Float[Array, "b *_"]:
    return jnp.roll(array, 1, axis=0)


def _blend(array: Float[Array, "b *_"], shares: Float[Array, "b *_"]) -> Float[Array, "b *_"]:
    return shares * array + (1 - shares) * _partners(array)
