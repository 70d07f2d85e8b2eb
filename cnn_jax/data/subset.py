"""A part of a split's images, drawn at random."""

from __future__ import annotations

from typing import Literal

import numpy as np
from jaxtyping import Int

from cnn_jax.data.errors import DataError

_TEST = 4  # what a random draw is for: after those of `sources`


def draw(
    examples: int, count: int, rng: np.random.Generator, split: Literal["train", "test"]
) -> Int[np.ndarray, " count"]:
    """Draws so many images.

    Args:
      examples: how many there are.
      count: how many are wanted.
      rng: that decides.
      split: of which they are, for the error.

    Returns:
      Their numbers, rising.

    Raises:
      DataError: where there are fewer.
    """
    if count > examples:
        kind = {"train": "training"}.get(split, split)
        raise DataError(f"config.data.{split}_examples={count}: there are only {examples} {kind} images")
    return np.sort(rng.permutation(examples)[:count])


def draw_test(examples: int, count: int) -> Int[np.ndarray, " count"]:
    """Draws so many test images, the same for every experiment, so that figures of several seeds compare.

    Args:
      examples: how many there are.
      count: how many are wanted.

    Returns:
      Their numbers, rising.

    Raises:
      DataError: where there are fewer.
    """
    return draw(examples, count, np.random.default_rng((0, _TEST)), "test")
