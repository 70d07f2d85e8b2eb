"""Two images and their targets into one: mixup and cutmix.

Each image's partner is the one before it in the batch, the first one's is the last: the order of an epoch is
random, so every pair of images is equally likely, and on several devices only one image travels between
neighbours. What fills up the last batch of an epoch is images of the training set, and good enough as partners.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from cnn_jax.data.device.erasing import around, inside, replace

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
      key: PRNG key of this batch.
      images: Normalised.
      targets: Probabilities of the classes.
      mixup_alpha, cutmix_alpha: Each image's own share comes from Beta(alpha, alpha), for each image anew (the
        papers draw one for a batch); 0 is off.

    Returns:
      (images, targets), of the same shapes.
    """
    coin_key, share_key, place_key = jax.random.split(key, 3)
    both = bool(mixup_alpha and cutmix_alpha)
    blend = jax.random.bernoulli(coin_key) if both else bool(mixup_alpha)
    alpha = jnp.where(blend, mixup_alpha, cutmix_alpha)
    shares = jax.random.beta(share_key, alpha, alpha, (len(images),))
    if not both:
        return mixup(images, targets, shares) if blend else cutmix(place_key, images, targets, shares)
    mixed: Mixed = jax.lax.cond(
        blend,
        lambda: mixup(images, targets, shares),
        lambda: cutmix(place_key, images, targets, shares),
    )
    return mixed


def mixup(images: Float[Array, "b h w c"], targets: Float[Array, "b k"], shares: Float[Array, " b"]) -> Mixed:
    """Blends each image with its partner, and their targets by the same shares.

    Args:
      images: Normalised.
      targets: Probabilities of the classes.
      shares: Each image's own, 0 to 1.

    Returns:
      (images, targets), of the same shapes.

    Source: Zhang et al., mixup: Beyond Empirical Risk Minimization, 2018.
    """
    return _blend(images, shares[:, None, None, None]), _blend(targets, shares[:, None])


def cutmix(
    key: PRNGKeyArray, images: Float[Array, "b h w c"], targets: Float[Array, "b k"], shares: Float[Array, " b"]
) -> Mixed:
    """Pastes a rectangle of its partner into each image, at the same place, and mixes the targets by its area.

    The rectangle has the image's aspect, its centre is any pixel of the image, and what hangs over the edge is
    lost: the targets follow the area that is left.

    Args:
      key: PRNG key of this batch, for the places.
      images: Normalised.
      targets: Probabilities of the classes.
      shares: Fraction of its area that each image would keep if nothing hung over; 0 to 1.

    Returns:
      (images, targets), of the same shapes.

    Source: Yun et al., CutMix, 2019, algorithm A1.
    """
    _, height, width, _ = images.shape
    scale = jnp.sqrt(1 - shares)
    heights, widths = ((scale * size).astype(jnp.int32) for size in (height, width))
    rectangles = around(key, heights, widths, height, width)
    rows, columns = inside(rectangles, height, width)
    pasted = jnp.sum(rows, axis=1) * jnp.sum(columns, axis=1)
    kept = 1 - pasted / (height * width)
    return replace(images, rectangles, _partners(images)), _blend(targets, kept[:, None])


def _partners(array: Float[Array, "b *_"]) -> Float[Array, "b *_"]:
    return jnp.roll(array, 1, axis=0)


def _blend(array: Float[Array, "b *_"], shares: Float[Array, "b *_"]) -> Float[Array, "b *_"]:
    return shares * array + (1 - shares) * _partners(array)
