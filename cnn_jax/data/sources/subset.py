"""A part of a split's images: `config.data.train_examples` and `test_examples`."""

from __future__ import annotations

import enum
import math
from typing import Literal, TypeVar

import numpy as np
from jaxtyping import Int

from cnn_jax import config as cfg
from cnn_jax.data.errors import DataError
from cnn_jax.data.sources import memory
from cnn_jax.data.sources.examples import Source
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


_VALIDATION_UNREAD = 2  # the same of examples whose labels are not known before they are read, as in `stream`


def draw_splits(source: Source, config: cfg.Data, seed: int) -> dict[str, Int[np.ndarray, " n"]]:
    """Draws the images of each split.

    Where labels are known, validation images are drawn class by class. Test images are drawn alike for every seed, so
    that results of several seeds are comparable.

    Args:
      source: The data set.
      config: How it is split.
      seed: Seed of the experiment.

    Returns:
      Numbers of the "train", "validation" and "test" images in increasing order. Validation images are numbered among
      the source's own, or among its training images where it has none.

    Raises:
      DataError: If there are fewer images than the config takes, or none that could be trained or measured on.
    """
    _check(source, config.name if isinstance(source.train, Split | FolderExamples) else source.train.name)
    examples, fraction, count = len(source.train), config.validation_fraction, config.train_examples
    if source.validation is not None and fraction:
        raise DataError(
            f"config.data.validation_fraction={fraction:g}: the data have {len(source.validation)} validation images "
            "of their own; set it to 0"
        )
    labels = source.train.labels if isinstance(source.train, Split | FolderExamples) else None
    if labels is not None:
        rng = np.random.default_rng((seed, Draw.VALIDATION))
        held, train = draw_by_class(labels, fraction, len(source.class_names), rng)
    else:
        order = np.random.default_rng((seed, _VALIDATION_UNREAD)).permutation(examples)
        held, train = np.split(order, [round(fraction * examples)])
    if fraction and not (len(held) and len(train)):
        raise DataError(
            f"config.data.validation_fraction={fraction:g} of {examples} images holds out {len(held)} and leaves "
            f"{len(train)}"
        )
    if count is not None:
        _refuse_more("train", count, len(train))
        rng = np.random.default_rng((seed, Draw.TRAIN_SUBSET))
        train = train[_draw(rng, count, len(train))] if labels is not None else train[:count]
    test = np.arange(len(source.test))
    if config.test_examples is not None:
        _refuse_more("test", config.test_examples, len(test))
        test = _draw(np.random.default_rng((0, Draw.TEST_SUBSET)), config.test_examples, len(test))
    if source.validation is not None:
        held = np.arange(len(source.validation))
    return {"train": np.sort(train), "validation": np.sort(held), "test": test}


def _check(source: Source, name: str) -> None:
    """Refuses what no network could be trained or measured on."""
    train, test, names = source.train, source.test, source.class_names
    if isinstance(train, Split) and isinstance(test, Split) and train.images.shape[1:] != test.images.shape[1:]:
        raise DataError(
            f"config.data: the training images of {name} are {train.images.shape[1:]} (height, width, channels) "
            f"and the test images {test.images.shape[1:]}"
        )
    for split, which in ((train, "training"), (source.validation, "validation"), (test, "test")):
        labels = np.unique(split.labels) if isinstance(split, Split | FolderExamples) else np.arange(len(names))
        if unknown := sorted(set(labels.tolist()) - set(range(len(names)))):
            raise DataError(
                f"config.data: the {which} images of {name} have the labels {unknown[:5]}, "
                f"expected 0 to {len(names) - 1}, the {len(names)} classes of the training images or class_names"
            )
        if which == "training" and min(len(labels), len(names)) < 2:
            raise DataError(f"config.data: the training images of {name} are all of one class, expected at least two")
    if len(set(names)) < len(names):
        raise DataError(f"config.data: two classes of {name} have the same name")


def _refuse_more(split: Literal["train", "test"], count: int, examples: int) -> None:
    if count > examples:
        raise DataError(f"config.data.{split}_examples={count}: there are only {examples} {_KINDS[split]} images")


def _draw(rng: np.random.Generator, count: int, examples: int) -> Int[np.ndarray, " count"]:
    """Draws the indices of `count` images, in increasing order."""
    return np.sort(rng.permutation(examples)[:count])


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
