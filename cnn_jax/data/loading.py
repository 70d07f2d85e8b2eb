"""From a config's data section to a data set, whatever the source."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int

from cnn_jax import config as cfg
from cnn_jax.data.dataset import Dataset
from cnn_jax.data.errors import DataError
from cnn_jax.data.sources import data_warnings, memory, prepared, subset, whole
from cnn_jax.data.sources.image_folder import FolderExamples
from cnn_jax.data.split import Split, membership_checksum

# What a random draw is for: the second entry of its generator's seed.
_VALIDATION, _SUBSET, _SHIFT = 0, 1, 3  # 2 draws test images of a folder


def load(config: cfg.Data, seed: int, data_dir: Path | None = None) -> Dataset:
    """Loads a data set and splits it.

    Args:
      config: The source, and how it is split.
      seed: Seed of the experiment; decides which images are held out.
      data_dir: Folder of prepared data; None is CNN_JAX_DATA_DIR, else the user's cache folder.

    Returns:
      The data set.

    Raises:
      DataError: where the images cannot be had, are damaged, or do not allow the split.
    """
    if isinstance(config, cfg.Records | cfg.Pictures):
        from cnn_jax.data.sources import pictures  # Grain takes a second to import

        opened = pictures.open_pictures(config)
        if opened.memory != "device":
            return pictures.streamed(opened, config, seed)
        assert not isinstance(config, cfg.Records)
        found = pictures.decoded(opened, config)
    else:
        found = whole.read_whole(config, seed, data_dir or prepared.default_data_dir())
    train, test, names = found.train, found.test, found.class_names
    if found.validation is not None and config.validation_fraction:
        raise DataError(
            f"config.data.validation_fraction={config.validation_fraction:g}: the data have {len(found.validation)} "
            "validation images of their own; set it to 0"
        )
    held, rest = _held_out(train, config.validation_fraction, len(names), seed, "config.data.validation_fraction")
    if config.train_examples is not None:
        subset.refuse_more("train", config.train_examples, len(rest))
        rest = rest[subset.draw(np.random.default_rng((seed, _SUBSET)), config.train_examples, len(rest))]
    tested = np.arange(len(test))
    if config.test_examples is not None:
        tested = subset.draw_test(config.test_examples, len(test))
    numbers = {"train": rest, "validation": held, "test": tested}
    validation: Split | FolderExamples | None = found.validation
    if validation is not None:
        numbers["validation"] = np.arange(len(validation))
    elif len(held):
        validation = subset.pick(train, held)
    train, test = subset.pick(train, rest), subset.pick(test, tested)
    splits = {"training": train, "validation": validation, "test": test}
    warnings = found.passed_over + data_warnings.find(config, splits, names)
    if isinstance(config, cfg.InMemory) and config.test_shift:
        assert isinstance(test, Split)
        corners = _corners(len(test), np.random.default_rng((seed, _SHIFT)))
        test, numbers["corners"] = _shifted(test, config.test_shift, corners), corners.ravel()
    where, placement = found.placement or (config.memory, None)
    assert where != "auto"
    parts: dict[str, Any] = {"train": train, "validation": validation, "test": test}
    if where != "device":
        from cnn_jax.data.sources import pictures

        if isinstance(config, cfg.ImageFolder) and isinstance(train, FolderExamples):
            parts = pictures.of_folder(parts, where, config, seed)
        else:
            parts = pictures.held_in_memory(parts, config.name, seed)
            placement = placement or "images lie in the host's memory (config.data.memory=host)"
    return Dataset(
        config.name,
        parts["train"],
        parts["validation"],
        parts["test"],
        names,
        found.checksum,
        warnings,
        membership_checksum(numbers),
        placement=placement,
    )


_Numbers = Int[np.ndarray, " n"]


def _held_out(
    split: Split | FolderExamples, fraction: float, classes: int, seed: int, field: str
) -> tuple[_Numbers, _Numbers]:
    """Draws the images that are held out; gives their numbers, and those of the others."""
    if fraction == 0:
        return np.arange(0), np.arange(len(split))
    held, rest = subset.draw_by_class(split.labels, fraction, classes, np.random.default_rng((seed, _VALIDATION)))
    if not len(held) or not len(rest):
        raise DataError(f"{field}={fraction:g} of {len(split)} images holds out {len(held)} and leaves {len(rest)}")
    return held, rest


def _corners(count: int, rng: np.random.Generator) -> Int[np.ndarray, "n 2"]:
    """Draws one of four corners, (0, 0) to (1, 1), for each of so many images."""
    return rng.integers(0, 2, (count, 2))


def _shifted(split: Split, pixels: int, corners: Int[np.ndarray, "n 2"]) -> Split:
    """Moves every image by the same distance along both axes, into the direction of its corner."""
    height, width = split.images.shape[1:3]
    if pixels >= min(height, width):
        raise DataError(f"config.data.test_shift={pixels} moves all of an image of {height}x{width} out of sight")
    memory.require(split.images.nbytes, "config.data.test_shift")
    images = memory.empty(split.images.shape, split.images.dtype)
    images[...] = 0
    kept = slice(None, -pixels), slice(pixels, None)  # the first and the last rows or columns
    for image, moved, (y, x) in zip(split.images, images, corners.tolist(), strict=True):
        moved[kept[1 - y], kept[1 - x]] = image[kept[y], kept[x]]
    return Split(images, split.labels)
