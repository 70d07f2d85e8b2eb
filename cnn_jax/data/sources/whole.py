"""All images of a source that lies in memory, before any are held out."""

from __future__ import annotations

import dataclasses
import hashlib
import math
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from cnn_jax import config as cfg
from cnn_jax.data.errors import DataError
from cnn_jax.data.host.crops import WholePicture
from cnn_jax.data.sources import (
    cifar,
    csv_file,
    idx,
    image_folder,
    kept,
    memory,
    npz_file,
    prepared,
    split_files,
    subset,
)
from cnn_jax.data.sources.cifar_sets import CIFAR_SETS
from cnn_jax.data.sources.examples import decode
from cnn_jax.data.sources.image_folder import FolderExamples
from cnn_jax.data.sources.listing import as_text
from cnn_jax.data.sources.named import NAMED_SETS
from cnn_jax.data.split import Split

_KEPT = 10**8  # bytes of images that stay in memory for the next run of a process
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
      placement: Where the images lie, and the same in words; None where there is no choice.
    """

    train: Split | FolderExamples
    validation: Split | None
    test: Split | FolderExamples
    class_names: tuple[str, ...]
    checksum: str = ""
    passed_over: tuple[str, ...] = ()
    placement: tuple[memory.Memory, str] | None = None


def read_whole(config: cfg.InMemory, seed: int, data_dir: Path) -> Whole:
    """Reads all images of a source, what was read before from the memory where its files have not been touched.

    Args:
      config: The source.
      seed: Seed of the experiment, which may draw the test images.
      data_dir: Folder of prepared data.

    Raises:
      DataError: Where the images cannot be had, are damaged, or cannot be trained or measured on.
    """
    paths = [Path(getattr(config, name)).expanduser() for name in type(config).model_fields if name in _FILES]
    if isinstance(config, cfg.FashionMnist | cfg.Mnist):
        paths = prepared.files(NAMED_SETS[config.name], data_dir)
    stamp = prepared.stamp_of(paths) if paths else None
    if stamp is None:
        return _read_checked(config, seed, data_dir)
    key = config.model_dump_json(), str(data_dir), stamp
    if (held := _held.get(key)) is not None and (whole := held()) is not None:
        return whole
    _held.clear()
    whole = _read_checked(config, 0, data_dir)  # seeds do not matter to files
    _held[key] = (lambda: whole) if sum(map(_size, whole[:3])) <= _KEPT else _weakly(whole)
    return whole


# For each config and the sizes and times of its files: what was read last, a large one as long as somebody holds it.
_held: dict[tuple[str, str, prepared.Stamp], Callable[[], Whole | None]] = {}


def _weakly(whole: Whole) -> Callable[[], Whole | None]:
    """Holds a source that was read as long as all its splits are held."""
    references, rest = [weakref.ref(split) if isinstance(split, Split) else None for split in whole[:3]], whole[3:]

    def held() -> Whole | None:
        splits = [None if reference is None else reference() for reference in references]
        if any(split is None and reference is not None for split, reference in zip(splits, references, strict=True)):
            return None
        return Whole._make([*splits, *rest])

    return held


def _size(split: Split | FolderExamples | None) -> int:
    return split.images.nbytes if isinstance(split, Split) else 0


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
            return Whole(train, None, test, named.class_names["label"])
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
    if config.classes is not None and len(names) != config.classes:
        raise DataError(
            f"config.data.train_dir: {folder} has {len(names)} class folders, and config.data.classes={config.classes}"
            "; complete the folder, or set config.data.classes=none"
        )
    class_names = tuple(map(as_text, names))
    train, passed_over = image_folder.find_pictures(folder, "config.data.train_dir", names)
    test = None
    if config.test_dir is not None:
        test, also = image_folder.find_pictures(Path(config.test_dir).expanduser(), "config.data.test_dir", names)
        passed_over += also
    size = (len(train) + len(test or ())) * math.prod(shape)
    placement = memory.place(config.memory, size, streamed=not config.test_shift)
    view = WholePicture(shape)

    def taken(pictures: FolderExamples, field: str) -> Split | FolderExamples:
        # On the devices, and where the config needs memory, the images themselves are looked at and make the checksum.
        if placement[0] != "device" and config.memory != "host" and not config.test_shift:
            return pictures

        def decoded() -> Split:
            images = decode(pictures, np.arange(len(pictures)), view, f"config.data.{field}")
            return dataclasses.replace(images, files=pictures.files())

        paths = pictures.paths()
        stamp = prepared.stamp_of(paths)
        if stamp is None:  # a file is gone, which reading tells
            return decoded()
        return kept.read((tuple(paths), tuple(pictures.labels.tolist()), stamp, shape), decoded, _size)

    all_train, all_test = taken(train, "train_dir"), None if test is None else taken(test, "test_dir")
    if all_test is not None:
        return Whole(all_train, None, all_test, class_names, "", passed_over, placement)
    tested, rest = subset.draw_by_class(
        all_train.labels, config.test_fraction, len(names), np.random.default_rng((seed, subset.Draw.TEST))
    )
    if not len(tested) or not len(rest):
        raise DataError(
            f"config.data.test_fraction={config.test_fraction:g} leaves {len(rest)} of the {len(train)} pictures of "
            f"{folder} for training and {len(tested)} for testing; give config.data.test_dir, or another fraction"
        )
    drawn = subset.pick(all_train, rest), None, subset.pick(all_train, tested)
    return Whole(*drawn, class_names, "", passed_over, placement)


def check(config: cfg.InMemory | cfg.Pictures, whole: Whole) -> None:
    """Refuses what no network could be trained or measured on.

    Args:
      config: The source.
      whole: Its images.

    Raises:
      DataError: Where shapes or labels do not go together.
    """
    train, validation, test, names = whole[:4]
    if isinstance(train, Split) and isinstance(test, Split) and train.images.shape[1:] != test.images.shape[1:]:
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
        if isinstance(split, FolderExamples):
            digest.update(split.checksum("config.data").encode())
            continue
        for array in () if split is None else (split.images, split.labels):
            digest.update(f"{array.dtype} {array.shape}".encode())
            digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()
