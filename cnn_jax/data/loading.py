"""Loads the data set that a config's data section describes."""

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

_Splits = dict[str, Any]


def load(config: cfg.Data, seed: int, data_dir: Path | None = None) -> Dataset:
    """Loads a data set and splits it.

    Args:
      config: The source, and how it is split.
      seed: Seed of the experiment; decides which images are held out.
      data_dir: Folder of prepared data; None is CNN_JAX_DATA_DIR, else the user's cache folder.

    Returns:
      The data set.

    Raises:
      DataError: If the images cannot be had, are damaged, or do not allow the split.
    """
    if isinstance(config, cfg.Records | cfg.Pictures):
        from cnn_jax.data.sources import pictures  # Grain takes a second to import

        opened = pictures.open_pictures(config)
        if opened.memory != "device":
            return pictures.streamed(opened, config, seed)
        assert not isinstance(config, cfg.Records)
        source = pictures.decoded(opened, config)
    else:
        source = whole.read_whole(config, seed, data_dir or prepared.default_data_dir())
    train, validation, test, names = source.train, source.validation, source.test, source.class_names
    if validation is not None and config.validation_fraction:
        raise DataError(
            f"config.data.validation_fraction={config.validation_fraction:g}: the data have {len(validation)} "
            "validation images of their own; set it to 0"
        )
    validation_indices, train_indices = _held_out(
        train, config.validation_fraction, len(names), seed, "config.data.validation_fraction"
    )
    if config.train_examples is not None:
        subset.refuse_more("train", config.train_examples, len(train_indices))
        rng = np.random.default_rng((seed, subset.Draw.TRAIN_SUBSET))
        train_indices = train_indices[subset.draw(rng, config.train_examples, len(train_indices))]
    test_indices = np.arange(len(test))
    if config.test_examples is not None:
        test_indices = subset.draw_test(config.test_examples, len(test))
    if validation is not None:
        validation_indices = np.arange(len(validation))
    indices = {"train": train_indices, "validation": validation_indices, "test": test_indices}
    splits: _Splits = {
        "train": subset.pick(train, train_indices),
        "validation": subset.pick(train, validation_indices)
        if validation is None and len(validation_indices)
        else validation,
        "test": subset.pick(test, test_indices),
    }
    named = {"training": splits["train"], "validation": splits["validation"], "test": splits["test"]}
    warnings = source.passed_over + data_warnings.find(config, named, names)
    if isinstance(config, cfg.InMemory) and config.test_shift:
        assert isinstance(splits["test"], Split)
        corners = _corners(len(test_indices), np.random.default_rng((seed, subset.Draw.TEST_SHIFT)))
        splits["test"], indices["corners"] = _shifted(splits["test"], config.test_shift, corners), corners.ravel()
    parts, placement = _place_splits(splits, config, source.placement, seed)
    return Dataset(
        config.name,
        parts["train"],
        parts["validation"],
        parts["test"],
        names,
        source.checksum,
        warnings,
        membership_checksum(indices),
        placement=placement,
    )


def _place_splits(
    splits: _Splits, config: cfg.InMemory | cfg.Pictures, placement: tuple[memory.Memory, str] | None, seed: int
) -> tuple[dict[str, Any], str | None]:
    """Makes streams of the splits unless they lie on the devices.

    Args:
      splits: "train", "validation" and "test" images; None for none.
      config: The source.
      placement: Memory of the images and its description; None to take the memory from the config.
      seed: Seed of the experiment.

    Returns:
      (the splits or their streams, description of their placement or None).
    """
    where, description = placement or (config.memory, None)
    assert where != "auto"
    if where == "device":
        return splits, description
    from cnn_jax.data.sources import pictures

    if isinstance(config, cfg.ImageFolder) and isinstance(splits["train"], FolderExamples):
        return pictures.of_folder(splits, where, config, seed), description
    description = description or "images lie in the host's memory (config.data.memory=host)"
    return pictures.held_in_memory(splits, config.name, seed), description


_Indices = Int[np.ndarray, " n"]


def _held_out(
    split: Split | FolderExamples, fraction: float, classes: int, seed: int, field: str
) -> tuple[_Indices, _Indices]:
    """Draws the validation images; returns (their indices, indices of the others)."""
    if fraction == 0:
        return np.arange(0), np.arange(len(split))
    validation, train = subset.draw_by_class(
        split.labels, fraction, classes, np.random.default_rng((seed, subset.Draw.VALIDATION))
    )
    if not len(validation) or not len(train):
        raise DataError(
            f"{field}={fraction:g} of {len(split)} images holds out {len(validation)} and leaves {len(train)}"
        )
    return validation, train


def _corners(count: int, rng: np.random.Generator) -> Int[np.ndarray, "n 2"]:
    """Draws one of the four corners, (0, 0) to (1, 1), for each of `count` images."""
    return rng.integers(0, 2, (count, 2))


def _shifted(split: Split, pixels: int, corners: Int[np.ndarray, "n 2"]) -> Split:
    """Shifts every image by `pixels` along both axes, towards its corner."""
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
