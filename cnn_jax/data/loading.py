"""Loads the data set that a config's data section describes."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
from jaxtyping import Int

from cnn_jax import config as cfg
from cnn_jax.data.dataset import Dataset
from cnn_jax.data.errors import DataError
from cnn_jax.data.sources import data_warnings, in_memory, memory, published, subset
from cnn_jax.data.sources.examples import Source
from cnn_jax.data.sources.image_folder import FolderExamples
from cnn_jax.data.split import Split


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
    source = _open(config, seed, data_dir)
    numbers = subset.draw_splits(source, config, seed)
    has_labels = isinstance(source.train, Split | FolderExamples)
    if has_labels:
        parts = source.splits | ({"validation": source.train} if source.validation is None else {})
        picked = {name: subset.pick(parts[name], each) if len(each) else None for name, each in numbers.items()}
        source = source.with_splits(picked)
        source = dataclasses.replace(source, warnings=source.warnings + data_warnings.find(config, source))
    if isinstance(config, cfg.InMemory) and config.test_shift:
        assert isinstance(source.test, Split)
        corners = np.random.default_rng((seed, subset.Draw.TEST_SHIFT)).integers(0, 2, (len(source.test), 2))
        source = dataclasses.replace(source, test=_shifted(source.test, config.test_shift, corners))
        numbers["corners"] = corners.ravel()
    splits = source.splits
    if source.memory != "device":
        from cnn_jax.data.sources import pictures

        splits = pictures.streams(source, config, seed, None if has_labels else numbers)
    return Dataset.of(config.name, source, splits, numbers)


def _open(config: cfg.Data, seed: int, data_dir: Path | None) -> Source:
    """Reads the images of a source, or opens it where they are read while the network trains."""
    if not isinstance(config, cfg.Records | cfg.Pictures):
        return in_memory.read(config, seed, data_dir or published.default_data_dir())
    from cnn_jax.data.sources import pictures  # Grain takes a second to import

    source = pictures.open_pictures(config)
    if isinstance(config, cfg.Pictures) and source.memory == "device":
        return pictures.decoded(source)
    return source


def _shifted(split: Split, pixels: int, corners: Int[np.ndarray, "n 2"]) -> Split:
    """Shifts every image by `pixels` along both axes, towards its corner: one of (0, 0) to (1, 1)."""
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
