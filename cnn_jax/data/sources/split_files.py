"""Files of a folder by the splits that their names tell, and labels by the classes that their values tell."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Int, Int32

from cnn_jax import config as cfg
from cnn_jax.data.errors import DataError
from cnn_jax.data.sources import file_checksum, listing
from cnn_jax.data.sources.examples import Examples, Source
from cnn_jax.data.sources.listing import as_text

FIELD = "config.data.folder"
_TESTS = ("test", "validation", "valid", "val")
_MOST_LABEL = np.iinfo(np.int32).max
# So many classes are taken for granted where there are fewer images; ImageNet has them.
_CLASSES_OF_FEW_IMAGES = 1000

Splits = dict[str, list[Path]]


def find(config: cfg.Parquet | cfg.WebDataset, suffix: str) -> tuple[Splits, tuple[str, ...]]:
    """Finds the files of a data set's splits.

    A file belongs to a split if its name, or that of its folder, has the split's word between dashes, dots and
    underscores, such as train-00000-of-00002.parquet.

    Args:
      config: The folder, and the words of the splits.
      suffix: Suffix of the files, in lower case.

    Returns:
      ("train", "test" and perhaps "validation" files in the order of their paths, what was passed over in words).

    Raises:
      DataError: If there is no folder, or a split has no files.
    """
    folder = Path(config.folder).expanduser()
    if not folder.is_dir():
        what = "is a file, expected the folder that it is in" if folder.is_file() else "does not exist"
        raise DataError(f"{FIELD}: {folder} {what}")
    listed = listing.list_files(folder, FIELD)
    files = [path for path in listed.files if path.name.lower().endswith(suffix)]
    if not files:
        compressed = [path for path in listed.files if f"{suffix}." in path.name.lower()]
        hint = f"; {compressed[0].name} is packed: unpack it" if compressed else ""
        raise DataError(f"{FIELD}: {folder} has no {suffix} files{hint}")
    words: dict[str, tuple[str, ...]] = {"train": (config.train_split,)}
    if config.validation_split is not None:
        words["validation"] = (config.validation_split,)
    words["test"] = _TESTS if config.test_split is None else (config.test_split,)
    splits: Splits = {}
    for split, some in words.items():
        for word in some:
            if found := [path for path in files if _has_word(path.relative_to(folder), word)]:
                splits[split] = found
                break
        if split not in splits:
            names = ", ".join(as_text(path.relative_to(folder)) for path in files[:5]) + ", ..." * (len(files) > 5)
            raise DataError(
                f"config.data.{split}_split: none of the {len(files)} {suffix} files of {folder} has "
                f"{' or '.join(some)} in its name: {names}"
            )
    for split, found in splits.items():
        if len(parents := sorted({_config_folder(path.relative_to(folder), words[split]) for path in found})) > 1:
            raise DataError(
                f"{FIELD}: {folder} has files of {split} in {len(parents)} folders, perhaps several data sets: name "
                f"one of them, such as {folder / parents[0]}"
            )
    others = [path for path in listed.files if path not in files and path.name.lower() != "readme.md"]
    left = list(listed.left_out)
    if others:
        left.insert(0, listing.counted(others, f"file that is no {suffix}", f"files that are no {suffix}"))
    return splits, (f"{FIELD}: passed over in {as_text(folder)}: {', '.join(left)}",) if left else ()


def _has_word(path: Path, word: str) -> bool:
    pattern = re.compile(rf"(?<![a-z0-9]){re.escape(word.lower())}(?![a-z])")
    return any(pattern.search(part.lower()) for part in (path.parent.name, path.name))


def _config_folder(path: Path, words: Sequence[str]) -> Path:
    """The folder of a data set's files: above one that is named for the split."""
    is_split = any(path.parent.name and _has_word(Path(path.parent.name), word) for word in words)
    return path.parent.parent if is_split else path.parent


def same_files(splits: Splits) -> list[str]:
    """Warns of files that are in two splits."""
    names = list(splits)
    return [
        f"config.data.{one}_split and config.data.{other}_split take {len(shared)} files in common, such as "
        f"{as_text(shared[0].name)}"
        for number, one in enumerate(names)
        for other in names[number + 1 :]
        if (shared := [path for path in splits[one] if path in splits[other]])
    ]


def picture_set(
    splits: Splits,
    examples: Mapping[str, Examples],
    class_names: tuple[str, ...],
    content: Mapping[str, str],
    passed_over: tuple[str, ...],
) -> Source:
    """Puts a data set together, with the checksum of its files.

    Args:
      splits: Files of each split.
      examples: Examples of each split.
      class_names: Names in label order.
      content: More that the checksum depends on: of the whole by "", and by split.
      passed_over: Warnings about files that were passed over.

    Raises:
      DataError: If a file cannot be read.
    """
    digest = hashlib.sha256("\0".join((content[""], *class_names)).encode())
    for split, files in splits.items():
        digest.update(f"{split} {file_checksum.of_files(files, FIELD)}".encode())
        digest.update(content.get(split, "").encode("utf-8", "surrogateescape"))
    warnings = (*passed_over, *same_files(splits))
    return Source(
        examples["train"], examples.get("validation"), examples["test"], class_names, digest.hexdigest(), warnings
    )


def numbered(
    values: Mapping[str, Sequence[int | str]], class_names: tuple[str, ...] | None, field: str
) -> tuple[dict[str, Int32[np.ndarray, " n"]], tuple[str, ...]]:
    """Gives labels numbers, and classes names.

    Args:
      values: Labels of every split as they came: all numbers, or all names.
      class_names: Names in label order; None takes numbers as names, or the names of the training images in order.
      field: Field and source, for errors.

    Returns:
      (labels of every split, names of the classes).

    Raises:
      DataError: If a label is none of the classes, or numbers and names are mixed.
    """
    kinds = {type(value) for each in values.values() for value in each}
    if len(kinds) > 1:
        raise DataError(f"{field} has labels that are numbers and others that are names, expected one kind")
    if kinds == {str}:
        names = class_names or tuple(sorted({str(value) for value in values["train"]}))
        numbers = {name: number for number, name in enumerate(names)}
        for split, each in values.items():
            if unknown := sorted({str(value) for value in each} - set(names)):
                raise DataError(
                    f"{field} has the labels {', '.join(map(as_text, unknown[:5]))} in {split}, which are none of the "
                    f"{len(names)} classes"
                )
        return {split: np.array([numbers[str(v)] for v in each], np.int32) for split, each in values.items()}, names
    for split, each in values.items():
        highest = _MOST_LABEL if class_names is None else len(class_names) - 1
        if wrong := [(number, label) for number, label in enumerate(each) if not 0 <= int(label) <= highest]:
            without = "; -1 stands for no label" if wrong[0][1] == -1 else ""
            raise DataError(
                f"{field} has the label {wrong[0][1]} at example {wrong[0][0]} of {split}, expected 0 to {highest}"
                f"{without}"
            )
    labels = {split: np.array(each, np.int32) for split, each in values.items()}
    names = class_names or numbers_as_names(labels["train"])
    for split, of_split in labels.items():
        if len(of_split) and (most := int(of_split.max())) >= len(names):
            raise DataError(
                f"{field} has the label {most} in {split}, expected 0 to {len(names) - 1}, the {len(names)} classes of "
                "the training images; or name all classes in config.data.class_names"
            )
    return labels, names


def numbers_as_names(labels: Int[np.ndarray, " n"]) -> tuple[str, ...]:
    """Names classes by their labels.

    Args:
      labels: Labels of the training images.

    Raises:
      DataError: If one label stands far off and would make classes without images.
    """
    classes = int(labels.max()) + 1
    if classes > max(_CLASSES_OF_FEW_IMAGES, len(labels)):
        raise DataError(
            f"config.data: the label {classes - 1} of training image {int(labels.argmax()) + 1} would make "
            f"{classes:,} classes of {len(labels):,} images; correct it, or name all classes in config.data.class_names"
        )
    return tuple(map(str, range(classes)))
