"""From a config's data section to a data set, whatever the source."""

from __future__ import annotations

import functools
import hashlib
from pathlib import Path

import numpy as np

from cnn_jax import config as cfg
from cnn_jax.data import csv_file, data_warnings, idx, image_folder, prepared, subset
from cnn_jax.data.dataset import Dataset
from cnn_jax.data.errors import DataError
from cnn_jax.data.listing import as_text
from cnn_jax.data.named import NAMED_SETS
from cnn_jax.data.split import Split

# What a random draw is for: the second entry of its generator's seed.
_VALIDATION, _SUBSET, _TEST, _SHIFT = range(4)


def load(config: cfg.Data, seed: int, data_dir: Path | None = None) -> Dataset:
    """Loads a data set and splits it.

    Args:
      config: the source, and how it is split.
      seed: of the experiment; decides which images are held out.
      data_dir: of prepared data; None is CNN_JAX_DATA_DIR, else the user's cache folder.

    Returns:
      The data set.

    Raises:
      DataError: where the images cannot be had, are damaged, or do not allow the split.
    """
    if isinstance(config, cfg.Records):
        from cnn_jax.data.stream import open_streams  # Grain takes a second to import, and only this needs it

        streams = open_streams(config, seed)
        manifest = streams.manifest
        return Dataset(
            config.name,
            streams.train,
            streams.validation,
            streams.test,
            manifest.class_names,
            manifest.checksum,
            manifest.warnings + data_warnings.of_records(config, manifest.training_copies),
        )
    train, test, names, checksum, passed_over = _whole(config, seed, data_dir or prepared.default_data_dir())
    validation, rest = _held_out(train, config.validation_fraction, len(names), seed, "config.data.validation_fraction")
    if config.train_examples is not None:
        subset.refuse_more("train", config.train_examples, len(rest))
        rest = _pick(rest, subset.draw(np.random.default_rng((seed, _SUBSET)), config.train_examples, len(rest)))
    if config.test_examples is not None:
        test = _pick(test, subset.draw_test(config.test_examples, len(test)))
    splits = {"training": rest, "validation": validation, "test": test}
    warnings = passed_over + data_warnings.find(config, splits, names)
    if config.test_shift:
        test = _shifted(test, config.test_shift, np.random.default_rng((seed, _SHIFT)))
    return Dataset(config.name, rest, validation, test, names, checksum, warnings)


_Whole = tuple[Split, Split, tuple[str, ...], str, tuple[str, ...]]


def _whole(config: cfg.InMemory, seed: int, data_dir: Path) -> _Whole:
    """All images, the names of their classes, the checksum, and what was passed over, before any are held out."""
    if isinstance(config, cfg.FashionMnist | cfg.Mnist):
        stamp = prepared.stamp(NAMED_SETS[config.name], data_dir)
        if stamp is not None:
            return _kept(config, data_dir, stamp)
    return _checked(config, seed, data_dir)


@functools.lru_cache(maxsize=1)
def _kept(config: cfg.FashionMnist | cfg.Mnist, data_dir: Path, stamp: prepared.Stamp) -> _Whole:
    """Reads a named set once for all trials of a process, as long as nobody touches its files."""
    return _checked(config, 0, data_dir)


def _checked(config: cfg.InMemory, seed: int, data_dir: Path) -> _Whole:
    train, test, names, passed_over = _read(config, seed, data_dir)
    _check(config, train, test, names)
    return train, test, names, _checksum(train, test, names), passed_over


_Read = tuple[Split, Split, tuple[str, ...], tuple[str, ...]]


def _read(config: cfg.InMemory, seed: int, data_dir: Path) -> _Read:
    """The training and the test images, the names of their classes, and what was passed over."""
    match config:
        case cfg.FashionMnist() | cfg.Mnist():
            named = NAMED_SETS[config.name]
            return *prepared.load_named(named, config.idx_dir, data_dir), named.class_names, ()
        case cfg.Csv():
            size = config.height, config.width, config.channels
            train, test = (
                csv_file.read_csv(Path(getattr(config, field)).expanduser(), f"config.data.{field}", *size)
                for field in ("train_file", "test_file")
            )
        case cfg.Idx():
            train, test = (
                idx.read_split(
                    Path(getattr(config, f"{split}_images")).expanduser(),
                    Path(getattr(config, f"{split}_labels")).expanduser(),
                    f"config.data.{split}_images",
                    f"config.data.{split}_labels",
                )
                for split in ("train", "test")
            )
        case cfg.ImageFolder():
            return _read_folders(config, seed)
    return train, test, config.class_names or tuple(map(str, range(int(train.labels.max()) + 1))), ()


def _read_folders(config: cfg.ImageFolder, seed: int) -> _Read:
    shape = config.height, config.width, config.channels
    folder = Path(config.train_dir).expanduser()
    names = image_folder.class_names(folder, "config.data.train_dir")
    if config.classes is not None and len(names) != config.classes:
        raise DataError(
            f"config.data.train_dir: {folder} has {len(names)} class folders, and config.data.classes={config.classes}"
            "; complete the folder, or set config.data.classes=none"
        )
    class_names = tuple(map(as_text, names))
    train, passed_over = image_folder.read_folder(folder, "config.data.train_dir", names, shape)
    if config.test_dir is not None:
        test_folder = Path(config.test_dir).expanduser()
        test, also = image_folder.read_folder(test_folder, "config.data.test_dir", names, shape)
        return train, test, class_names, passed_over + also
    test, rest = _draw(train, config.test_fraction, len(names), np.random.default_rng((seed, _TEST)))
    if not len(test) or not len(rest):
        raise DataError(
            f"config.data.test_fraction={config.test_fraction:g} leaves {len(rest)} of the {len(train)} pictures of "
            f"{folder} for training and {len(test)} for testing; give config.data.test_dir, or another fraction"
        )
    return rest, test, class_names, passed_over


def _check(config: cfg.InMemory, train: Split, test: Split, names: tuple[str, ...]) -> None:
    """Refuses what no network could be trained or measured on."""
    if train.images.shape[1:] != test.images.shape[1:]:
        raise DataError(
            f"config.data: the training images of {config.name} are {train.images.shape[1:]} (height, width, channels) "
            f"and the test images {test.images.shape[1:]}"
        )
    for split, which in ((train, "training"), (test, "test")):
        unknown = sorted(set(np.unique(split.labels).tolist()) - set(range(len(names))))
        if unknown:
            raise DataError(
                f"config.data: the {which} images of {config.name} have the labels {unknown[:5]}, "
                f"expected 0 to {len(names) - 1}, the {len(names)} classes of the training images or class_names"
            )
    if len(names) < 2 or len(np.unique(train.labels)) < 2:
        raise DataError(
            f"config.data: the training images of {config.name} are all of one class, expected at least two"
        )
    if len(set(names)) < len(names):
        raise DataError("config.data.class_names: two classes have the same name")


def _checksum(train: Split, test: Split, names: tuple[str, ...]) -> str:
    digest = hashlib.sha256("\0".join(names).encode())
    for array in (train.images, train.labels, test.images, test.labels):
        digest.update(f"{array.dtype} {array.shape}".encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def _held_out(split: Split, fraction: float, classes: int, seed: int, field: str) -> tuple[Split | None, Split]:
    if fraction == 0:
        return None, split
    held, rest = _draw(split, fraction, classes, np.random.default_rng((seed, _VALIDATION)))
    if not len(held) or not len(rest):
        raise DataError(f"{field}={fraction:g} of {len(split)} images holds out {len(held)} and leaves {len(rest)}")
    return held, rest


def _draw(split: Split, fraction: float, classes: int, rng: np.random.Generator) -> tuple[Split, Split]:
    """Draws a share of every class; both parts keep the order of the whole."""
    drawn = np.zeros(len(split), bool)
    for label in range(classes):
        members = np.flatnonzero(split.labels == label)
        drawn[rng.permutation(members)[: round(fraction * len(members))]] = True
    return _pick(split, np.flatnonzero(drawn)), _pick(split, np.flatnonzero(~drawn))


def _shifted(split: Split, pixels: int, rng: np.random.Generator) -> Split:
    """Moves every image by the same distance along both axes, into one of the four corners' directions."""
    height, width = split.images.shape[1:3]
    if pixels >= min(height, width):
        raise DataError(f"config.data.test_shift={pixels} moves all of an image of {height}x{width} out of sight")
    padded = np.pad(split.images, ((0, 0), (pixels, pixels), (pixels, pixels), (0, 0)))
    corners = rng.integers(0, 2, (len(split), 2)) * 2 * pixels
    images = np.stack(
        [image[y : y + height, x : x + width] for image, (y, x) in zip(padded, corners.tolist(), strict=True)]
    )
    return Split(images, split.labels)


def _pick(split: Split, numbers: np.ndarray) -> Split:
    files = None if split.files is None else tuple(split.files[number] for number in numbers.tolist())
    return Split(split.images[numbers], split.labels[numbers], files)
