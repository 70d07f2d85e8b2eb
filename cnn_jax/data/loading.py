"""From a config's data section to a data set, whatever the source."""

from __future__ import annotations

import functools
import hashlib
import math
import weakref
from pathlib import Path

import numpy as np
from jaxtyping import Int

from cnn_jax import config as cfg
from cnn_jax.data.dataset import Dataset
from cnn_jax.data.errors import DataError
from cnn_jax.data.sources import csv_file, data_warnings, idx, image_folder, memory, prepared, subset
from cnn_jax.data.sources.listing import as_text
from cnn_jax.data.sources.named import NAMED_SETS
from cnn_jax.data.split import Split, membership_checksum

# What a random draw is for: the second entry of its generator's seed.
_VALIDATION, _SUBSET, _TEST, _SHIFT = range(4)
# So many classes are taken for granted where there are fewer images; ImageNet has them.
_CLASSES_OF_FEW_IMAGES = 1000


def load(config: cfg.Data, seed: int, data_dir: Path | None = None) -> Dataset:
    """Loads a data set and splits it.

    Args:
      config: the source, and how it is split.
      seed: Seed of the experiment; decides which images are held out.
      data_dir: Folder of prepared data; None is CNN_JAX_DATA_DIR, else the user's cache folder.

    Returns:
      The data set.

    Raises:
      DataError: where the images cannot be had, are damaged, or do not allow the split.
    """
    if isinstance(config, cfg.Records):
        from cnn_jax.data.sources.stream import open_streams  # Grain takes a second to import, and only this needs it

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
            split_checksum=streams.split_checksum,
            files_checksum=streams.files_checksum,
        )
    train, test, names, checksum, passed_over = _whole(config, seed, data_dir or prepared.default_data_dir())
    held, rest = _held_out(train, config.validation_fraction, len(names), seed, "config.data.validation_fraction")
    if config.train_examples is not None:
        subset.refuse_more("train", config.train_examples, len(rest))
        rest = rest[subset.draw(np.random.default_rng((seed, _SUBSET)), config.train_examples, len(rest))]
    tested = np.arange(len(test))
    if config.test_examples is not None:
        tested = subset.draw_test(config.test_examples, len(test))
    numbers = {"train": rest, "validation": held, "test": tested}
    train, validation, test = _pick(train, rest), _pick(train, held) if len(held) else None, _pick(test, tested)
    splits = {"training": train, "validation": validation, "test": test}
    warnings = passed_over + data_warnings.find(config, splits, names)
    if config.test_shift:
        corners = _corners(len(test), np.random.default_rng((seed, _SHIFT)))
        test, numbers["corners"] = _shifted(test, config.test_shift, corners), corners.ravel()
    split_checksum = membership_checksum(numbers)
    return Dataset(config.name, train, validation, test, names, checksum, warnings, split_checksum)


_FILES = ("train_file", "test_file", "train_images", "train_labels", "test_images", "test_labels")
_Whole = tuple[Split, Split, tuple[str, ...], str, tuple[str, ...]]


def _whole(config: cfg.InMemory, seed: int, data_dir: Path) -> _Whole:
    """All images, the names of their classes, the checksum, and what was passed over, before any are held out."""
    if isinstance(config, cfg.FashionMnist | cfg.Mnist):
        stamp = prepared.stamp(NAMED_SETS[config.name], data_dir)
        if stamp is not None:
            return _kept(config, data_dir, stamp)
    if isinstance(config, cfg.Csv | cfg.Idx):
        return _shared(config, data_dir)
    return _checked(config, seed, data_dir)


# For each config and the sizes and times of its files: what has been read, as long as somebody holds it.
_Held = tuple["weakref.ref[Split]", "weakref.ref[Split]", tuple[str, ...], str, tuple[str, ...]]
_held: dict[tuple[str, prepared.Stamp], _Held] = {}


def _shared(config: cfg.Csv | cfg.Idx, data_dir: Path) -> _Whole:
    """Reads files once for all runs that a process trains at the same time; their seeds do not matter."""
    paths = [Path(getattr(config, name)).expanduser() for name in type(config).model_fields if name in _FILES]
    stamp = prepared.stamp_of(paths)
    if stamp is None:
        return _checked(config, 0, data_dir)
    key = config.model_dump_json(), stamp
    if (held := _held.get(key)) is not None:
        train, test = held[0](), held[1]()
        if train is not None and test is not None:
            return train, test, *held[2:]
    whole = _checked(config, 0, data_dir)
    _held.clear()
    _held[key] = weakref.ref(whole[0]), weakref.ref(whole[1]), *whole[2:]
    return whole


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
            image_shape = config.height, config.width, config.channels
            train, test = (
                csv_file.read_csv(
                    Path(getattr(config, field)).expanduser(),
                    f"config.data.{field}",
                    image_shape,
                    config.label_column,
                    config.header,
                )
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
    return train, test, config.class_names or _numbers_as_names(train), ()


def _numbers_as_names(train: Split) -> tuple[str, ...]:
    """Names classes by their labels, unless one label stands far off and would make classes without images."""
    classes = int(train.labels.max()) + 1
    if classes > max(_CLASSES_OF_FEW_IMAGES, len(train)):
        raise DataError(
            f"config.data: the label {classes - 1} of training image {int(train.labels.argmax()) + 1} would make "
            f"{classes:,} classes of {len(train):,} images; correct it, or name all classes in config.data.class_names"
        )
    return tuple(map(str, range(classes)))


def _read_folders(config: cfg.ImageFolder, seed: int) -> _Read:
    shape = config.height, config.width, config.channels
    folder = Path(config.train_dir).expanduser()
    names = image_folder.class_names(folder, "config.data.train_dir")
    image_folder.require_two(folder, "config.data.train_dir", names)
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
    tested, rest = _draw(train, config.test_fraction, len(names), np.random.default_rng((seed, _TEST)))
    if not len(tested) or not len(rest):
        raise DataError(
            f"config.data.test_fraction={config.test_fraction:g} leaves {len(rest)} of the {len(train)} pictures of "
            f"{folder} for training and {len(tested)} for testing; give config.data.test_dir, or another fraction"
        )
    return _pick(train, rest), _pick(train, tested), class_names, passed_over


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


_Numbers = Int[np.ndarray, " n"]


def _held_out(split: Split, fraction: float, classes: int, seed: int, field: str) -> tuple[_Numbers, _Numbers]:
    """Draws the images that are held out; gives their numbers, and those of the others."""
    if fraction == 0:
        return np.arange(0), np.arange(len(split))
    held, rest = _draw(split, fraction, classes, np.random.default_rng((seed, _VALIDATION)))
    if not len(held) or not len(rest):
        raise DataError(f"{field}={fraction:g} of {len(split)} images holds out {len(held)} and leaves {len(rest)}")
    return held, rest


def _draw(split: Split, fraction: float, classes: int, rng: np.random.Generator) -> tuple[_Numbers, _Numbers]:
    """Draws a share of every class; gives the numbers of both parts, in the order of the whole."""
    drawn = np.zeros(len(split), bool)
    for label in range(classes):
        members = np.flatnonzero(split.labels == label)
        drawn[rng.permutation(members)[: round(fraction * len(members))]] = True
    return np.flatnonzero(drawn), np.flatnonzero(~drawn)


def _corners(count: int, rng: np.random.Generator) -> Int[np.ndarray, "n 2"]:
    """Draws one of four corners, (0, 0) to (1, 1), for each of so many images."""
    return rng.integers(0, 2, (count, 2))


def _shifted(split: Split, pixels: int, corners: Int[np.ndarray, "n 2"]) -> Split:
    """Moves every image by the same distance along both axes, into the direction of its corner."""
    height, width = split.images.shape[1:3]
    if pixels >= min(height, width):
        raise DataError(f"config.data.test_shift={pixels} moves all of an image of {height}x{width} out of sight")
    memory.require(split.images.nbytes, "config.data.test_shift")
    images = memory.empty(split.images.shape)
    images[...] = 0
    kept = slice(None, -pixels), slice(pixels, None)  # the first and the last rows or columns
    for image, moved, (y, x) in zip(split.images, images, corners.tolist(), strict=True):
        moved[kept[1 - y], kept[1 - x]] = image[kept[y], kept[x]]
    return Split(images, split.labels)


def _pick(split: Split, numbers: _Numbers) -> Split:
    """Gives some images, by their numbers, which rise; all of them are not copied."""
    if len(numbers) == len(split):
        return split
    shape = len(numbers), *split.images.shape[1:]
    memory.require(math.prod(shape), "config.data: a part of the images")
    # NumPy writes straight into `out` where it need not check the numbers first.
    images = np.take(split.images, numbers, axis=0, out=memory.empty(shape), mode="clip")
    files = None if split.files is None else tuple(split.files[number] for number in numbers.tolist())
    return Split(images, split.labels[numbers], files)
