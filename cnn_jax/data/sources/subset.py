"""A part of a split's images: `config.data.train_examples` and `test_examples`."""

from __future__ import annotations

import enum
import math
from typing import Literal, TypeVar

import numpy as np
from jaxtyping import Int

from cnn_jax.data.errors import DataError
from cnn_jax.data.sources import memory
from cnn_jax.data.sources.image_folder import FolderExamples
from cnn_jax.data.split import Split

_KINDS = {"train": "training", "test": "test"}


class Draw(enum.IntEnum):
    """Purpose of a random draw: the second entry of its generator's seed.

    The first entry is the seed of the experiment, so that different draws of one experiment are independent. It is
    always 0 for TEST_SUBSET, which is the same for every experiment. Changing a number changes the drawn images.
    """

    VALIDATION = 0
    TRAIN_SUBSET = 1
    TEST = 2
    TEST_SHIFT = 3
    TEST_SUBSET = 4


def refuse_more(split: Literal["train", "test"], count: int, examples: int) -> None:
    """Refuses to take more images than there are.

    Args:
      split: Split that they belong to.
      count: Number of images that are wanted.
      examples: Number of images that there are.

    Raises:
      DataError: If there are fewer.
    """
    if count > examples:
        raise DataError(f"config.data.{split}_examples={count}: there are only {examples} {_KINDS[split]} images")


def draw(rng: np.random.Generator, count: int, examples: int) -> Int[np.ndarray, " count"]:
    """Draws the indices of `count` images, in increasing order."""
    return np.sort(rng.permutation(examples)[:count])


def draw_test(count: int, examples: int) -> Int[np.ndarray, " count"]:
    """Draws the same test images for every experiment, so that results of several seeds are comparable.

    Args:
      count: Number of images that are wanted.
      examples: Number of images that there are.

    Returns:
      Their indices, in increasing order.

    Raises:
      DataError: If there are fewer.
    """
    refuse_more("test", count, examples)
    return draw(np.random.default_rng((0, Draw.TEST_SUBSET)), count, examples)


def draw_by_class(
    labels: Int[np.ndarray, " k"], fraction: float, classes: int, rng: np.random.Generator
) -> tuple[Int[np.ndarray, " n"], Int[np.ndarray, " m"]]:
    """Draws a fraction of every class.

    Args:
      labels: Labels of the images.
      fraction: Share of each class that is drawn.
      classes: Number of classes.
      rng: Generator of the draw.

    Returns:
      (indices of the drawn images, indices of the others), both in increasing order.
    """
    drawn = np.zeros(len(labels), bool)
    for label in range(classes):
        members = np.flatnonzero(labels == label)
        drawn[rng.permutation(members)[: round(fraction * len(members))]] = True
    return np.flatnonzero(drawn), np.flatnonzero(~drawn)


S = TypeVar("S", bound="Split | FolderExamples")


def pick(split: S, numbers: Int[np.ndarray, " n"]) -> S:
    """Selects images; returns the split itself if all are selected.

    Args:
      split: The images.
      numbers: Indices of the selected images, in increasing order.
    """
    if len(numbers) == len(split):
        return split
    if isinstance(split, FolderExamples):
        return split.some(numbers)  # type: ignore[return-value]
    shape = len(numbers), *split.images.shape[1:]
    dtype = split.images.dtype
    memory.require(math.prod(shape) * dtype.itemsize, "config.data: a part of the images")
    # NumPy writes straight into `out` where it need not check the numbers first.
    images = np.take(split.images, numbers, axis=0, out=memory.empty(shape, dtype), mode="clip")
    files = None if split.files is None else tuple(split.files[number] for number in numbers.tolist())
    return Split(images, split.labels[numbers], files)  # type: ignore[return-value]
