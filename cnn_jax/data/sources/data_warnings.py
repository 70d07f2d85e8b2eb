"""Warnings about data that are legal and yet perhaps not meant: what a run's report then says beside its figures."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import UInt64

from cnn_jax import config as cfg
from cnn_jax.data.sources.examples import Source
from cnn_jax.data.sources.image_folder import FolderExamples
from cnn_jax.data.sources.listing import as_text
from cnn_jax.data.split import Split

_NAMED = 5  # classes that a warning names
_DARK = 16  # the brightest pixel of images that were perhaps scaled to 0 to 1, or to 0 to 16
# Words of folders' names, with other words or numbers beside them: seg_train, training_set, val2017.
_TRAIN_NAME = re.compile(r"(?<![a-z])(train|training)(set)?(?![a-z])")
_TEST_NAME = re.compile(r"(?<![a-z])(val|valid|validation|test|testing|dev|eval)(set)?(?![a-z])")


def find(config: cfg.Data, source: Source) -> tuple[str, ...]:
    """Looks for what is suspicious in data that were loaded.

    Args:
      config: Where the data come from.
      source: Its splits, before any test images are shifted.

    Returns:
      Warnings.
    """
    found: list[str] = []
    class_names, training = source.class_names, source.train
    if isinstance(config, cfg.ImageFolder):
        found += like_splits(Path(config.train_dir).expanduser(), class_names, "config.data.train_dir")
    same = _same_sources(config)
    if same:
        found.append(f"{same}: the network is tested on the images that it is trained on")
    numbered = (
        isinstance(config, cfg.Csv | cfg.Idx | cfg.Npz | cfg.Parquet | cfg.WebDataset) and config.class_names is None
    )
    parts = {"training": training, "validation": source.validation, "test": source.test}
    counts = {
        which: np.bincount(part.labels, minlength=len(class_names)).tolist()
        for which, part in parts.items()
        if isinstance(part, Split | FolderExamples)
    }
    found += absent_classes(counts, class_names, numbered=numbered)
    if not isinstance(training, Split):  # pictures that are not decoded yet
        return tuple(found)
    splits = {which: part for which, part in parts.items() if isinstance(part, Split)}
    digests = {which: _digests(split) for which, split in splits.items()}
    found += _dark(training) + _in_two_classes(training, digests["training"], class_names)
    return tuple(found + _in_two_splits(splits, digests, bool(same)))


def like_splits(folder: Path, class_names: Sequence[str], field: str) -> list[str]:
    """Warns of class folders that have the names of splits.

    Args:
      folder: Folder of the class folders.
      class_names: Names of these.
      field: The config's or flag's name for the folder.
    """
    training, tests = (
        [as_text(name) for name in class_names if pattern.search(name.lower())] for pattern in (_TRAIN_NAME, _TEST_NAME)
    )
    if not training or not tests:
        return []
    names = ", ".join(f"{name}/" for name in dict.fromkeys(training + tests))
    folder = Path(as_text(folder))
    return [
        f"{field}: {names} of {folder} are taken as classes, though they have the names of splits; if they are splits, "
        f"name {folder / training[0]} for training and {folder / tests[0]} for testing"
    ]


def absent_classes(
    counts: Mapping[str, Sequence[int]], class_names: Sequence[str], *, numbered: bool = False
) -> list[str]:
    """Warns of classes that a split has no images of.

    Args:
      counts: Number of images of each class, by the name of the split.
      class_names: In label order.
      numbered: Whether the classes are only numbered, up to the greatest label.
    """
    found, lacking_before = [], frozenset[int]()
    for which, by_class in counts.items():
        absent = frozenset(label for label, count in enumerate(by_class) if not count)
        lacking = sorted(absent - lacking_before)
        if which == "training" and absent:
            lacking_before = absent
        if not lacking:
            continue
        shown = ", ".join(as_text(class_names[label]) for label in lacking[:_NAMED]) + ", ..." * (len(lacking) > _NAMED)
        if which == "training" and numbered:
            found.append(
                f"the labels of the training images have gaps: they reach {len(class_names) - 1}, and so there are "
                f"{len(class_names)} classes, but {len(lacking)} of these have no image ({shown}); is a label wrong?"
            )
        else:
            found.append(f"the {which} images lack {len(lacking)} of the {len(class_names)} classes: {shown}")
    return found


def _same_sources(config: cfg.Data) -> str | None:
    """Names the fields that name one source for training and for testing; None where they differ."""
    match config:
        case cfg.ImageFolder():
            fields = ("train_dir", "test_dir")
        case cfg.Csv():
            fields = ("train_file", "test_file")
        case cfg.Idx():
            fields = ("train_images", "test_images")
        case _:
            return None
    values = [getattr(config, field) for field in fields]
    if None in values or not os.path.samefile(*(Path(value).expanduser() for value in values)):
        return None
    return f"config.data.{fields[1]} is config.data.{fields[0]}"


def _dark(training: Split) -> list[str]:
    """Warns of pixels that are not 0 to 255 but were perhaps scaled."""
    most = float(training.images.max())
    if most > _DARK:
        return []
    if training.images.dtype != np.uint8:
        return [
            f"no pixel of the training images is above {most / 255:.1%} of config.data.value_range: the network sees "
            "them nearly black; is its upper end right?"
        ]
    return [
        f"no pixel of the training images is above {most:g}, and 255 is white: the network sees them nearly black; "
        "if they were scaled, scale them to 0 to 255"
    ]


def _in_two_classes(training: Split, digests: UInt64[np.ndarray, " n"], class_names: tuple[str, ...]) -> list[str]:
    """Warns of training images that are in two classes, pixel by pixel."""
    order = np.lexsort((training.labels, digests))
    ordered, labels = digests[order], training.labels[order]
    starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])
    lowest, highest = np.minimum.reduceat(labels, starts), np.maximum.reduceat(labels, starts)
    torn = ordered[starts[lowest != highest]]
    if not len(torn):
        return []
    number = int(np.flatnonzero(np.isin(digests, torn))[0])
    alike = np.flatnonzero(digests == digests[number])
    twin = int(alike[training.labels[alike] != training.labels[number]][0])
    named = [
        f"{_name(training, each)} of class {as_text(class_names[training.labels[each]])}" for each in (number, twin)
    ]
    return [in_two_classes(int(np.isin(digests, torn).sum()), len(training), "images", "pixel by pixel", named)]


def in_two_classes(count: int, total: int, what: str, how: str, named: Sequence[str]) -> str:
    """Words the warning of training images that are in two classes.

    Args:
      count: Number of images that are equal to one of another class.
      total: Number of training images.
      what: "images" or "pictures".
      how: "pixel by pixel" or "byte by byte".
      named: One of them with its class, and its equal with its class.
    """
    are = "are" if count > 1 else "is"
    return (
        f"{count} of the {total} training {what} {are} also in another class, {how}: {named[0]} is {named[1]}; "
        "is a label wrong?"
    )


def _in_two_splits(
    splits: Mapping[str, Split],
    digests: Mapping[str, UInt64[np.ndarray, " n"]],
    same_source: bool,
) -> list[str]:
    """Warns of images that are in two splits, pixel by pixel."""
    found = []
    for one, other in (("training", "validation"), ("training", "test"), ("validation", "test")):
        if one not in digests or other not in digests or (same_source and other == "test"):
            continue
        copies = np.flatnonzero(np.isin(digests[other], digests[one]))
        if not len(copies):
            continue
        number = int(copies[0])
        twin = int(np.flatnonzero(digests[one] == digests[other][number])[0])
        are = "are" if len(copies) > 1 else "is"
        found.append(
            f"{len(copies)} of the {len(digests[other])} {other} images {are} also among the {one} images, pixel by "
            f"pixel: {_name(splits[other], number)} is {_name(splits[one], twin)}"
        )
    return found


def _name(split: Split, number: int) -> str:
    return f"number {number}" if split.files is None else split.files[number]


def _digests(split: Split) -> UInt64[np.ndarray, " n"]:
    """Digests of each image's pixels; the chance that two of a million differ and agree is one in ten millions.

    Python's own hash of bytes (SipHash, keyed anew in each process) is four times as quick as a cryptographic one.
    """
    hashes = np.fromiter((hash(image.tobytes()) for image in split.images), np.int64, len(split))
    return hashes.view(np.uint64)
