"""A part of a split's images: `config.data.train_examples` and `test_examples`."""

from __future__ import annotations

import math
from typing import Literal, TypeVar

import numpy as np
from jaxtyping import Int

from cnn_jax.data.errors import DataError
from cnn_jax.data.sources import memory
from cnn_jax.data.sources.image_folder import FolderExamples
from cnn_jax.data.split import Split

_KINDS = {"train": "training", "test": "test"}
_TEST = (0, 4)  # seed of the draw of test images, which no draw by an experiment's seed has


def refuse_more(split: Literal["train", "test"], count: int, examples: int) -> None:
    """Refuses to take more images than there are.

    Args:
      split: Split that they belong to.
      count: How many are wanted.
      examples: How many there are.

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
      count: How many are wanted.
      examples: How many there are.

    Returns:
      Their numbers, rising.

    Raises:
      DataError: where there are fewer.
    """
    refuse_more("test", count, examples)
    return draw(np.random.default_rng(_TEST), count, examples)


def draw_by_class(
    labels: Int[np.ndarray, " k"], fraction: float, classes: int, rng: np.random.Generator
) -> tuple[Int[np.ndarray, " n"], Int[np.ndarray, " m"]]:
    """Draws a share of every class.

    Args:
      labels: Labels of the images.
      fraction: Share of each class that is drawn.
      classes: Number of classes.
      rng: Generator of the draw.

    Returns:
      (numbers of the drawn images, numbers of the others), in the order of the whole.
    """
    drawn = np.zeros(len(labels), bool)
    for label in range(classes):
        members = np.flatnonzero(labels == label)
        drawn[rng.permutation(members)[: round(fraction * len(members))]] = True
    return np.flatnonzero(drawn), np.flatnonzero(~drawn)


S = TypeVar("S", bound="Split | FolderExamples")


def pick(split: S, numbers: Int[np.ndarray, " n"]) -> S:
    """Gives some images; all of them are not copied.

    Args:
      split: The images.
      numbers: Numbers of those that are wanted, which rise.
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
