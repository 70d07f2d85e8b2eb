"""A part of a split's images: `config.data.train_examples` and `test_examples`."""

from __future__ import annotations

from typing import Literal

import numpy as np
from jaxtyping import Int

from cnn_jax.data.errors import DataError

_KINDS = {"train": "training", "test": "test"}
_TEST = (0, 4)  # seed of the draw of test images, which no draw by an experiment's seed has


def refuse_more(split: Literal["train", "test"], count: int, examples: int) -> None:
    """Refuses to take more images than there are.

    Args:
      split: Split that they belong to.
      count: how many are wanted.
      examples: how many there are.

    Raises:
      DataError: where there are fewer.
    """
    if count > examples:
        raise DataError(f"config.data.{split}_examples={count}: there are only {examples} {_KINDS[split]} images")


def draw(rng: np.random.Generator, count: int, examples: int) -> Int[np.ndarray, " count"]:
    """Draws so many of the images; gives their numbers, rising."""
    return np.sort(rng.permutation(examples)[:count])


def draw_test(count: int, examples: int) -> Int[np.ndarray, " count"]:
    """Draws so many test images, the same for every experiment, so that figures of several seeds compare.

    Args:
      count: how many are wanted.
      examples: how many there are.

    Returns:
      Their numbers, rising.

    Raises:
      DataError: where there are fewer.
    """
    refuse_more("test", count, examples)
    return draw(np.random.default_rng(_TEST), count, examples)
