"""Where pictures and their labels are before they are records: folders of classes, or ImageNet's tar files."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import tensorflow_datasets as tfds

from cnn_jax.data.errors import DataError
from cnn_jax.data.sources import data_warnings, image_folder, subset
from cnn_jax.data.sources.tar_members import Member, members

TARS = {"train": "ILSVRC2012_img_train.tar", "validation": "ILSVRC2012_img_val.tar"}
_TEST_FOLDERS = ("val", "validation", "test")


@dataclasses.dataclass(frozen=True)
class PictureFile:
    """One encoded picture.

    Attributes:
      name: For errors, and kept in its record.
      label: Class number.
      file: It is in.
      offset, size: Its place in the file, in bytes; a size of -1 is to the end.
    """

    name: str
    label: int
    file: Path
    offset: int = 0
    size: int = -1

    def read(self) -> bytes:
        """Its bytes."""
        with self.file.open("rb") as file:
            file.seek(self.offset)
            return file.read(self.size)


@dataclasses.dataclass(frozen=True)
class Found:
    """The pictures of a source.

    Attributes:
      name: Name of the data set.
      class_names: In label order.
      splits: By name, in the order in which they are kept.
      warnings: Files that were passed over, and findings that are perhaps mistakes.
    """

    name: str
    class_names: tuple[str, ...]
    splits: dict[str, list[PictureFile]]
    warnings: tuple[str, ...] = ()


def find(source: Path, test_fraction: float) -> Found:
    """Lists the pictures of a source.

    Args:
      source: A folder of class folders; or one with train/ and val/ (or validation/, test/), each of class folders; or
        one with ImageNet's two tar files.
      test_fraction: The share of each class that is split off for testing where there are class folders alone.

    Raises:
      DataError: where it is none of them, or a class has no pictures.
    """
    if source.is_file():
        raise DataError(f"--source: {source} is a file, expected a folder; if it is an archive, unpack it first")
    if not source.is_dir():
        raise DataError(f"--source: there is no folder {source}")
    present = [name for name in TARS.values() if (source / name).is_file()]
    if present:
        if missing := sorted(set(TARS.values()) - set(present)):
            raise DataError(f"--source: {source} has {present[0]}, but not {missing[0]}; ImageNet needs both")
        return _imagenet(source)
    tests = [name for name in _TEST_FOLDERS if (source / name).is_dir()]
    if not (source / "train").is_dir():
        names = image_folder.class_names(source, "--source")
        pictures, warnings = _in_classes(source, names)
        train, test = _split(pictures, len(names), test_fraction, source)
        warnings += tuple(data_warnings.like_splits(source, names, "--source"))
        return Found(source.name, names, {"train": train, "validation": test}, warnings)
    if len(tests) != 1:
        raise DataError(
            f"--source: {source} has train/ and {'none' if not tests else 'all'} of "
            f"{', '.join(f'{name}/' for name in tests or _TEST_FOLDERS)}, expected one of them"
            + "; make a folder of links to train/ and to the one that is to be measured on"
            * bool(tests)
        )
    names = image_folder.class_names(source / "train", "--source")
    train, passed_over = _in_classes(source / "train", names)
    test, also = _in_classes(source / tests[0], names)
    return Found(source.name, names, {"train": train, "validation": test}, passed_over + also)


def _in_classes(folder: Path, names: Sequence[str]) -> tuple[list[PictureFile], tuple[str, ...]]:
    """Lists the pictures of class folders, by class and file name; and says what was passed over."""
    found, passed_over = image_folder.find_pictures(folder, "--source", names)
    labelled = zip(found.names, found.labels.tolist(), strict=True)
    return [PictureFile(name, label, folder / name) for name, label in labelled], passed_over


def _split(
    pictures: Sequence[PictureFile], classes: int, fraction: float, source: Path
) -> tuple[list[PictureFile], list[PictureFile]]:
    """Splits off a share of every class, always the same; both parts keep the order."""
    labels = np.array([picture.label for picture in pictures])
    drawn = subset.draw_by_class(labels, fraction, classes, np.random.default_rng(0))
    test, train = ([pictures[number] for number in numbers.tolist()] for numbers in drawn)
    if not train or not test:
        raise DataError(
            f"--test_fraction={fraction:g} leaves {len(train)} of the {len(pictures)} pictures of {source} for "
            f"training and {len(test)} for testing; give another, or put the pictures into train/ and val/"
        )
    return train, test


# --- ImageNet -----------------------------------------------------------------------------------------


def _imagenet(source: Path) -> Found:
    """Lists the pictures of ImageNet's tar files; the classes and the validation labels come with TFDS."""
    facts = tfds.core.tfds_path("datasets/imagenet2012")
    names = tuple((facts / "labels.txt").read_text().split())
    numbers = {name: label for label, name in enumerate(names)}
    train = _training_tar(source / TARS["train"], numbers)
    validation = _members(source / TARS["validation"])
    # The labels are those of the pictures in the order of their names.
    labels = (facts / "validation_labels.txt").read_text().split()
    if len(labels) != len(validation):
        raise DataError(
            f"--source: {source / TARS['validation']} has {len(validation)} pictures, expected {len(labels)}"
        )
    labelled = [
        dataclasses.replace(picture, label=numbers[label])
        for picture, label in zip(sorted(validation, key=lambda each: each.name), labels, strict=True)
    ]
    return Found("imagenet2012", names, {"train": train, "validation": labelled})


def _training_tar(path: Path, numbers: dict[str, int]) -> list[PictureFile]:
    """Lists a tar file of one tar file for each class."""
    pictures = []
    for member in _members(path):
        name = Path(member.name).stem
        if name not in numbers:
            raise DataError(f"--source: {path} has {member.name}, expected tar files named for ImageNet's classes")
        pictures += [dataclasses.replace(picture, label=numbers[name]) for picture in _members(path, member)]
    present = {picture.label for picture in pictures}
    if missing := [name for name, label in numbers.items() if label not in present]:
        some = ", ".join(missing[:3]) + ", ..." * (len(missing) > 3)
        raise DataError(f"--source: {path} has no pictures of {len(missing)} of {len(numbers)} classes: {some}")
    return pictures


def _members(path: Path, within: PictureFile | None = None) -> list[PictureFile]:
    """Lists the files of a tar file, or of one that lies within it."""
    inner = None if within is None else Member(within.name, within.offset, within.size)
    return [PictureFile(name, -1, path, offset, size) for name, offset, size in members(path, "--source", inner)]
