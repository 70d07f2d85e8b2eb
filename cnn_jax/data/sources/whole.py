"""All images of a source that lies in memory, before any are held out."""

from __future__ import annotations

import functools
import hashlib
import weakref
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from cnn_jax import config as cfg
from cnn_jax.data.errors import DataError
from cnn_jax.data.sources import cifar, csv_file, idx, image_folder, kept, npz_file, prepared, split_files, subset
from cnn_jax.data.sources.cifar_sets import CIFAR_SETS
from cnn_jax.data.sources.listing import as_text
from cnn_jax.data.sources.named import NAMED_SETS
from cnn_jax.data.split import Split

_TEST = 2  # what a random draw is for: the second entry of its generator's seed
_FILES = ("train_file", "test_file", "train_images", "train_labels", "test_images", "test_labels", "file")


class Whole(NamedTuple):
    """All images of a source, before any are held out.

    Attributes:
      train: Training images.
      validation: Validation images that the source has as such; None for none.
      test: Test images.
      class_names: In label order.
      checksum: SHA-256 (hex) of all this.
      passed_over: What was passed over, in words.
    """

    train: Split
    validation: Split | None
    test: Split
    class_names: tuple[str, ...]
    checksum: str = ""
    passed_over: tuple[str, ...] = ()


def read_whole(config: cfg.InMemory, seed: int, data_dir: Path) -> Whole:
    """Reads all images of a source, what was read before from the memory where its files have not been touched.

    Args:
      config: The source.
      seed: Seed of the experiment, which may draw the test images.
      data_dir: Folder of prepared data.

    Raises:
      DataError: Where the images cannot be had, are damaged, or cannot be trained or measured on.
    """
    if isinstance(config, cfg.FashionMnist | cfg.Mnist):
        stamp = prepared.stamp(NAMED_SETS[config.name], data_dir)
        if stamp is not None:
            return _kept(config, data_dir, stamp)
    if isinstance(config, cfg.Csv | cfg.Idx | cfg.Npz):
        return _shared(config, data_dir)
    return _read_checked(config, seed, data_dir)


# For each config and the sizes and times of its files: what has been read, as long as somebody holds it.
class _Held(NamedTuple):
    """A source that was read: references to its splits, and the rest of `Whole`."""

    splits: list[weakref.ref[Split] | None]
    rest: tuple[Any, ...]


_held: dict[tuple[str, prepared.Stamp], _Held] = {}


def _shared(config: cfg.Csv | cfg.Idx | cfg.Npz, data_dir: Path) -> Whole:
    """Reads files once for all runs that a process trains at the same time; their seeds do not matter."""
    paths = [Path(getattr(config, name)).expanduser() for name in type(config).model_fields if name in _FILES]
    stamp = prepared.stamp_of(paths)
    if stamp is None:
        return _read_checked(config, 0, data_dir)
    key = config.model_dump_json(), stamp
    return kept.read(key, lambda: _read_once(config, data_dir, key), _size)


def _size(whole: Whole) -> int:
    return sum(split.images.nbytes for split in whole[:3] if split is not None)


def _read_once(config: cfg.Csv | cfg.Idx | cfg.Npz, data_dir: Path, key: tuple[str, prepared.Stamp]) -> Whole:
    if (held := _held.get(key)) is not None:
        splits = [None if reference is None else reference() for reference in held.splits]
        if all((split is None) == (reference is None) for split, reference in zip(splits, held.splits, strict=True)):
            return Whole(*splits, *held.rest)  # type: ignore[arg-type]
    whole = _read_checked(config, 0, data_dir)
    _held.clear()
    _held[key] = _Held([None if split is None else weakref.ref(split) for split in whole[:3]], whole[3:])
    return whole


@functools.lru_cache(maxsize=1)
def _kept(config: cfg.FashionMnist | cfg.Mnist, data_dir: Path, stamp: prepared.Stamp) -> Whole:
    """Reads a named set once for all trials of a process, as long as nobody touches its files."""
    return _read_checked(config, 0, data_dir)


def _read_checked(config: cfg.InMemory, seed: int, data_dir: Path) -> Whole:
    whole = _read(config, seed, data_dir)
    check(config, whole)
    return whole._replace(checksum=_checksum(whole))


def _read(config: cfg.InMemory, seed: int, data_dir: Path) -> Whole:
    """Reads all images; the checksum is still empty."""
    validation = None
    match config:
        case cfg.FashionMnist() | cfg.Mnist():
            named = NAMED_SETS[config.name]
            train, test = prepared.load_named(named, config.idx_dir, data_dir)
            return Whole(train, None, test, named.class_names)
        case cfg.Cifar10() | cfg.Cifar100():
            known = CIFAR_SETS[config.name]
            label = "labels" if isinstance(config, cfg.Cifar10) else f"{config.labels}_labels"
            train, test, warnings = cifar.load(known, config.archive, label, data_dir)
            return Whole(train, None, test, known.class_names[label], passed_over=warnings)
        case cfg.Csv():
            image_shape = config.height, config.width, config.channels
            train, test = (
                csv_file.read_csv(
                    Path(getattr(config, field)).expanduser(),
                    f"config.data.{field}",
                    image_shape,
                    config.label_column,
                    config.header,
                    config.layout,
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
        case cfg.Npz():
            path = Path(config.file).expanduser()
            train, validation, test = npz_file.read_npz(path, "config.data.file", config.value_range)
        case cfg.ImageFolder():
            return _read_folders(config, seed)
    return Whole(train, validation, test, config.class_names or split_files.numbers_as_names(train.labels))


def _read_folders(config: cfg.ImageFolder, seed: int) -> Whole:
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
        return Whole(train, None, test, class_names, passed_over=passed_over + also)
    tested, rest = subset.draw_by_class(train, config.test_fraction, len(names), np.random.default_rng((seed, _TEST)))
    if not len(tested) or not len(rest):
        raise DataError(
            f"config.data.test_fraction={config.test_fraction:g} leaves {len(rest)} of the {len(train)} pictures of "
            f"{folder} for training and {len(tested)} for testing; give config.data.test_dir, or another fraction"
        )
    drawn = subset.pick(train, rest), None, subset.pick(train, tested)
    return Whole(*drawn, class_names, passed_over=passed_over)


def check(config: cfg.InMemory | cfg.Pictures, whole: Whole) -> None:
    """Refuses what no network could be trained or measured on.

    Args:
      config: The source.
      whole: Its images.

    Raises:
      DataError: Where shapes or labels do not go together.
    """
    train, validation, test, names = whole[:4]
    if train.images.shape[1:] != test.images.shape[1:]:
        raise DataError(
            f"config.data: the training images of {config.name} are {train.images.shape[1:]} (height, width, channels) "
            f"and the test images {test.images.shape[1:]}"
        )
    for split, which in ((train, "training"), (validation, "validation"), (test, "test")):
        if split is None:
            continue
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


def _checksum(whole: Whole) -> str:
    digest = hashlib.sha256("\0".join(whole.class_names).encode())
    for split in (whole.train, whole.test, whole.validation):
        for array in () if split is None else (split.images, split.labels):
            digest.update(f"{array.dtype} {array.shape}".encode())
            digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()
