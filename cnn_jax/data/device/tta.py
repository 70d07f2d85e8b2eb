"""Test-time augmentation: several views of the images to evaluate, whose logits are averaged."""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array, Shaped


def count(mirrored: bool, shift: int) -> int:
    """Tells how many views `views` makes."""
    return (2 if mirrored else 1) * (5 if shift else 1)


def views(images: Shaped[Array, "b h w c"], mirrored: bool, shift: int) -> list[Shaped[Array, "b h w c"]]:
    """Lists the images, moved copies of them, and the mirror images of all these.

    Args:
      images: Pixels, channels last.
      mirrored: Adds each view's mirror image, left to right.
      shift: Pixels; adds copies moved so far up, down, left and right, zeros entering. 0 adds none.

    Returns:
      The views, the images themselves first.

    Source: Krizhevsky et al., ImageNet Classification with Deep Convolutional Neural Networks, 2012, section 4.1
    averages ten: five crops and their mirror images.
    """
    moves = [(0, 0)]
    if shift:
        moves += [(shift, 0), (-shift, 0), (0, shift), (0, -shift)]
    height, width = images.shape[1:3]
    padded = jnp.pad(images, ((0, 0), (shift, shift), (shift, shift), (0, 0)))
    seen = [padded[:, shift + y : shift + y + height, shift + x : shift + x + width] for y, x in moves]
    if mirrored:
        seen += [each[:, :, ::-1] for each in seen]
    return seen


def unfit(shift: int, image_shape: tuple[int, int, int]) -> list[str]:
    """Lists what of `config.train.eval_shift` cannot work on images of (height, width, channels) pixels."""
    height, width, _ = image_shape
    limit = min(height, width) - 1
    if shift <= limit:
        return []
    size = f"images of {height}x{width} pixels"
    return [f"config.train.eval_shift={shift} moves all of {size} out of sight; use at most {limit}"]
