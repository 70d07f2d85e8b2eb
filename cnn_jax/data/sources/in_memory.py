"""Sources whose images are read whole into memory: named sets, arrays, tables and folders of pictures."""

from __future__ import annotations

import dataclasses
import hashlib
import math
import weakref
from collections.abc import Callable, Sequence
from pathlib import Path

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
    mnist,
    npz_file,
    split_files,
    subset,
)
from cnn_jax.data.sources.cifar_sets import CIFAR_SETS
from cnn_jax.data.sources.examples import Examples, Source, decode
from cnn_jax.data.sources.image_folder import FolderExamples
from cnn_jax.data.sources.listing import as_text
from cnn_jax.data.sources.mnist_sets import NAMED_SETS
from cnn_jax.data.split import Split

_Stamp = tuple[tuple[int, int], ...]
_KEPT = 10**8  # bytes of images that stay in memory for the next run of a process
_FILES = ("train_file", "test_file", "train_images", "train_labels", "test_images", "test_labels", "file")


def read(config: cfg.InMemory, seed: int, data_dir: Path) -> Source:
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
        paths = mnist.files(NAMED_SETS[config.name], data_dir)
    stamp = _stamp_of(paths) if paths else None
    if stamp is None:
        return _read_placed(config, seed, data_dir)
    key = config.model_dump_json(), str(data_dir), stamp
    if (held := _held.get(key)) is not None and (source := held()) is not None:
        return source
    _held.clear()
    source = _read_placed(config, 0, data_dir)  # seeds do not matter to files
    size = sum(map(_size, source.splits.values()))
    _held[key] = (lambda: source) if size <= _KEPT else _weakly(source)
    return source


# For each config and the sizes and times of its files: what was read last, a large one as long as somebody holds it.
_held: dict[tuple[str, str, _Stamp], Callable[[], Source | None]] = {}


def _stamp_of(paths: Sequence[Path]) -> _Stamp | None:
    """Sizes in bytes and times of files, by which it is noticed that they are touched; None where one is missing."""
    try:
        files = [path.stat() for path in paths]
    except (OSError, ValueError):  # the latter for a path with a NUL
        return None
    return tuple((file.st_size, file.st_mtime_ns) for file in files)


def _weakly(source: Source) -> Callable[[], Source | None]:
    """Holds a source that was read as long as all its splits are held."""
    references = {name: weakref.ref(split) for name, split in source.splits.items() if isinstance(split, Split)}
    rest = source.with_splits(dict.fromkeys(references))

    def held() -> Source | None:
        found = {name: reference() for name, reference in references.items()}
        return None if any(split is None for split in found.values()) else rest.with_splits(found)

    return held


def _size(split: Split | Examples | None) -> int:
    return split.images.nbytes if isinstance(split, Split) else 0


def _read_placed(config: cfg.InMemory, seed: int, data_dir: Path) -> Source:
    source = _read(config, seed, data_dir)
    if config.memory == "host" and source.placement is None:
        placement = "images lie in the host's memory (config.data.memory=host)"
        source = dataclasses.replace(source, memory="host", placement=placement)
    return dataclasses.replace(source, checksum=_checksum(source))


def _read(config: cfg.InMemory, seed: int, data_dir: Path) -> Source:
    """Reads all images; the checksum is still empty."""
    validation = None
    match config:
        case cfg.FashionMnist() | cfg.Mnist():
            named = NAMED_SETS[config.name]
            train, test = mnist.load_named(named, config.idx_dir, data_dir)
            return Source(train, None, test, named.class_names["label"])
        case cfg.Cifar10() | cfg.Cifar100():
            known = CIFAR_SETS[config.name]
            label = "labels" if isinstance(config, cfg.Cifar10) else f"{config.labels}_labels"
            train, test, warnings = cifar.load(known, config.archive, label, data_dir)
            return Source(train, None, test, known.class_names[label], warnings=warnings)
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
            splits = npz_file.read_npz(path, config.value_range)
            train, validation, test = splits["train"], splits.get("validation"), splits["test"]
        case cfg.ImageFolder():
            return _read_folders(config, seed)
    return Source(train, validation, test, config.class_names or split_files.numbers_as_names(train.labels))


def _read_folders(config: cfg.ImageFolder, seed: int) -> Source:
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
    where, placement = memory.place(config.memory, size, streamed=not config.test_shift)
    view = WholePicture(shape)

    def taken(pictures: FolderExamples, field: str) -> Split | FolderExamples:
        # On the devices, and where the config needs memory, the images themselves are looked at and make the checksum.
        if where != "device" and config.memory != "host" and not config.test_shift:
            return pictures

        def decoded() -> Split:
            images = decode(pictures, np.arange(len(pictures)), view, f"config.data.{field}")
            return dataclasses.replace(images, files=pictures.files())

        paths = pictures.paths()
        stamp = _stamp_of(paths)
        if stamp is None:  # a file is gone, which reading tells
            return decoded()
        return kept.read((tuple(paths), tuple(pictures.labels.tolist()), stamp, shape), decoded, _size)

    all_train, all_test = taken(train, "train_dir"), None if test is None else taken(test, "test_dir")
    if all_test is None:
        tested, rest = subset.draw_by_class(
            all_train.labels, config.test_fraction, len(names), np.random.default_rng((seed, subset.Draw.TEST))
        )
        if not len(tested) or not len(rest):
            raise DataError(
                f"config.data.test_fraction={config.test_fraction:g} leaves {len(rest)} of the {len(train)} pictures "
                f"of {folder} for training and {len(tested)} for testing; give config.data.test_dir, or another "
                "fraction"
            )
        all_train, all_test = subset.pick(all_train, rest), subset.pick(all_train, tested)
    return Source(
        all_train,
        None,
        all_test,
        class_names,
        warnings=passed_over,
        memory=where,
        placement=placement,
        views=(view, view),
    )


def _checksum(source: Source) -> str:
    digest = hashlib.sha256("\0".join(source.class_names).encode())
    for split in (source.train, source.test, source.validation):
        if isinstance(split, FolderExamples):
            digest.update(split.checksum("config.data").encode())
        elif isinstance(split, Split):
            for array in (split.images, split.labels):
                digest.update(f"{array.dtype} {array.shape}".encode())
                digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()
