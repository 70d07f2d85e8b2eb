"""`launch.py prepare`: pictures into a folder of records, looked through one by one.

The folder is made beside its place, under another name, and moved there when it is whole: a run that breaks leaves
nothing that could be taken for one, and the same command starts over.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import io
import shutil
import threading
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TypeVar

import filelock
import grain
import numpy as np
import tensorflow_datasets as tfds
from grain.sources import RandomAccessDataSource
from jaxtyping import Float
from rich.console import Console
from rich.progress import Progress

from cnn_jax.data.errors import DataError, UnreadableRecordError
from cnn_jax.data.host import restarts
from cnn_jax.data.host.picture import UnreadablePictureError, open_picture, unreadable, upright
from cnn_jax.data.sources import data_warnings, picture_files, records
from cnn_jax.data.sources.examples import Labelled
from cnn_jax.data.sources.listing import as_text
from cnn_jax.data.sources.records import MANIFEST, Manifest
from cnn_jax.plain_text import distinct, plain
from cnn_jax.terminal import print_line

T = TypeVar("T")

_EXAMPLES_PER_SHARD = 1024  # of 110 kB, as ImageNet's are, 110 MB
_STRIDE = 4  # every so many pixels and rows, one counts for the colours' statistics
_AHEAD = grain.ReadOptions(num_threads=16, prefetch_buffer_size=64)
_LARGE = 2**24  # pixels
_LARGE_PICTURES = threading.Lock()
_LABEL = 1000  # characters of a class name in TFDS's own file, a line for each; the manifest has the whole
_TOLD = 5  # unreadable pictures that are named
_IN_WORDS = {"train": "training"}


def prepare(
    source: Path,
    target: Path | None,
    test_fraction: float,
    console: Console | None = None,
    *,
    restart_markers: bool = False,
) -> Path:
    """Makes a folder of records, or looks through one that TFDS has made.

    Args:
      source: Folder or archive of pictures, as `picture_files.find` knows them; or a folder that TFDS has made of
        ArrayRecord files, which gets its `records.json`.
      target: Folder to make; None for a folder of TFDS, which stays where it is.
      test_fraction: As `picture_files.find` has it.
      console: For progress; None is standard error.
      restart_markers: Whether JPEGs are rewritten with restart markers, by `cnn_jax.data.host.restarts`.

    Returns:
      The folder of records.

    Raises:
      DataError: where the source is none, the target is there already, a picture cannot be read, or what writes
        restart markers is missing.
    """
    console = console or Console(stderr=True)
    if (source / "dataset_info.json").is_file():
        if target is not None:
            raise DataError(
                f"--target: {source} is made by TFDS and is looked through where it lies; leave --target out"
            )
        if restart_markers:
            raise DataError(
                f"--restart_markers: {source} is made by TFDS and is looked through where it lies; name pictures, or "
                "ImageNet's two tar files, as --source"
            )
        _look_through(source, console)
        return source
    if target is None:
        raise DataError("--target: name the folder to make; it may be left out only where TFDS has made the --source")
    _refuse_what_is_there(target)
    if restart_markers:
        restarts.require_tool()
    found = picture_files.find(source, test_fraction)
    partial, lock = (target.with_name(f".{target.name}.{kind}") for kind in ("partial", "lock"))
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with filelock.FileLock(lock, blocking=False):
            try:
                _refuse_what_is_there(target)
                shutil.rmtree(partial, ignore_errors=True)  # of a run that was killed
                partial.mkdir()
                _write(found, partial, console, restart_markers)
                partial.replace(target)
            finally:
                shutil.rmtree(partial, ignore_errors=True)
                lock.unlink()
    except filelock.Timeout as error:
        raise DataError(f"--target: another process is making {target}") from error
    except OSError as error:
        raise DataError(f"--target: cannot write {target}: {error.strerror or error}") from error
    return target


def _refuse_what_is_there(target: Path) -> None:
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        whole = (target / MANIFEST).is_file()
        what = "is a whole folder of records already" if whole else "is there, and not empty"
        raise DataError(f"--target: {target} {what}; name another, or remove it first")


def _write(found: picture_files.Found, folder: Path, console: Console, restart_markers: bool) -> None:
    """Writes the records and the manifest of all pictures."""
    class_names = tuple(map(as_text, found.class_names))
    how = "with restart markers in JPEGs" if restart_markers else "as they came"
    info = tfds.core.DatasetInfo(
        builder=tfds.core.dataset_info.DatasetIdentity(
            name="pictures", version=tfds.core.Version("1.0.0"), data_dir=str(folder), module_name=__name__
        ),
        features=tfds.features.FeaturesDict(
            {
                "image": tfds.features.Image(),
                "label": tfds.features.ClassLabel(names=distinct(class_names, _LABEL)),
                "file_name": tfds.features.Text(),
            }
        ),
        description=f"The pictures of {plain(found.name)}, {how}.",
    )
    writer = tfds.core.SequentialWriter(info, _EXAMPLES_PER_SHARD, file_format="array_record")
    writer.initialize_splits(list(found.splits))
    census = _Census(class_names, found.warnings)
    unmarked = 0

    def look(number: int, picture: picture_files.PictureFile) -> _Looked:
        looked = _look(picture.name, lambda: Labelled(picture.read(), picture.label))
        if not restart_markers or looked.fault is not None:
            return looked
        marked = Labelled(restarts.mark(looked.record.picture), picture.label)
        return dataclasses.replace(looked, record=marked)

    for split, looked in _each(found.splits, look, console):
        census.count(split, looked)
        unmarked += restart_markers and not restarts.is_marked(looked.record.picture)
        if not census.unreadable:  # after the first, the rest is looked at alone
            example = {"image": io.BytesIO(looked.record.picture), "label": looked.record.label}
            writer.add_examples({split: [example | {"file_name": as_text(looked.name)}]})
    writer.close_all()
    census.write(folder, console)
    if unmarked:
        warnings.warn(
            f"--restart_markers: {unmarked} pictures have none and were kept as they came: they are no JPEGs of one or "
            "three colours, or jpegtran does not take them",
            stacklevel=2,
        )


def _look_through(folder: Path, console: Console) -> None:
    """Writes the manifest of a folder that TFDS has made."""
    if (folder / MANIFEST).is_file():
        raise DataError(f"--source: {folder} has been looked through already; remove its {MANIFEST} to do so again")
    info = records.builder(folder).info
    tested = next((split for split in records.TEST_SPLITS if split in info.splits), None)
    if "train" not in info.splits or tested is None:
        raise DataError(f"--source: {folder} has the splits {', '.join(info.splits)}, expected train and validation")
    census = _Census(tuple(info.features["label"].names))
    splits = {split: records.Records(folder, split) for split in ("train", tested)}

    def look(number: int, record: Labelled) -> _Looked:
        return _look(f"record {number}", lambda: record)

    try:
        for split, looked in _each(splits, look, console):
            census.count(split, looked)
    except UnreadableRecordError as error:
        raise DataError(f"--source: {error}") from error
    try:
        census.write(folder, console)
    except OSError as error:
        raise DataError(f"--source: cannot write {folder / MANIFEST}: {error.strerror}") from error


@dataclasses.dataclass(frozen=True)
class _Looked:
    """Findings about one picture.

    Attributes:
      name: For errors.
      record: Itself.
      fault: Why it cannot be read; None where it can.
      size: Width and height.
      pixels, total, products: How many pixels count for the statistics, their sum, and that of their outer products.
    """

    name: str
    record: Labelled
    fault: str | None = None
    size: tuple[int, int] = (0, 0)
    pixels: int = 0
    total: Float[np.ndarray, "3"] = dataclasses.field(default_factory=lambda: np.zeros(3))
    products: Float[np.ndarray, "3 3"] = dataclasses.field(default_factory=lambda: np.zeros((3, 3)))


def _look(name: str, read: Callable[[], Labelled]) -> _Looked:
    """Reads and decodes one picture whole."""
    record = Labelled(b"", -1)
    try:
        with unreadable():
            record = read()
        with open_picture(record.picture) as opened, _memory_for(opened.width * opened.height):
            whole, _ = upright(opened, "RGB")
    except UnreadablePictureError as error:
        return _Looked(name, record, str(error))
    height, width = whole.shape[:2]
    pixels = whole[::_STRIDE, ::_STRIDE].reshape(-1, 3).astype(np.float64)
    return _Looked(name, record, None, (width, height), len(pixels), pixels.sum(axis=0), pixels.T @ pixels)


def _memory_for(pixels: int) -> contextlib.AbstractContextManager[object]:
    """Lets one thread at a time decode a large picture, which may take a gigabyte or more."""
    return _LARGE_PICTURES if pixels > _LARGE else contextlib.nullcontext()


def _each(
    splits: Mapping[str, RandomAccessDataSource[T]], look: Callable[[int, T], _Looked], console: Console
) -> Iterator[tuple[str, _Looked]]:
    """Looks at every item of every split, in order, some ahead in threads, and shows how far it is."""
    with Progress(console=console, transient=True) as progress:
        for split, items in splits.items():
            ahead = grain.MapDataset.source(items).map_with_index(look).to_iter_dataset(_AHEAD)
            for looked in progress.track(ahead, total=len(items), description=split):
                yield split, looked


# More than ten fields: a tally for each of the findings.
class _Census:
    """Findings about all pictures together.

    Attributes:
      unreadable: Message about each picture that cannot be read.
    """

    def __init__(self, class_names: tuple[str, ...], warnings: tuple[str, ...] = ()):
        self.unreadable: list[str] = []
        self._warnings = warnings
        self._counts: dict[str, list[int]] = {}
        self._firsts: dict[bytes, tuple[str, int]] = {}  # split and class that a file's digest was first seen in
        self._copies: dict[tuple[str, str], list[str]] = {}
        self._training_copies = 0
        self._in_two_classes: list[tuple[str, int, int]] = []  # training pictures: name, class, class of the first copy
        self._class_names = class_names
        self._digest = hashlib.sha256("\0".join(class_names).encode())
        self._examples: dict[str, int] = {}
        self._sizes: list[tuple[int, int]] = []
        self._pixels, self._total, self._products = 0, np.zeros(3), np.zeros((3, 3))

    def count(self, split: str, looked: _Looked) -> None:
        """Takes one picture in, in its split's order."""
        label, classes = looked.record.label, len(self._class_names)
        if looked.fault is not None or not 0 <= label < classes:
            fault = looked.fault or f"its label is {label}, expected 0 to {classes - 1}"
            self.unreadable.append(f"{split}: {looked.name}: {fault}")
            return
        self._examples[split] = self._examples.get(split, 0) + 1
        self._counts.setdefault(split, [0] * classes)[label] += 1
        picture, seen = hashlib.blake2b(looked.record.picture, digest_size=8).digest(), len(self._firsts)
        first, first_label = self._firsts.setdefault(picture, (split, label))
        self._training_copies += split == "train" and len(self._firsts) == seen
        if split == first == "train" and label != first_label:
            self._in_two_classes.append((looked.name, label, first_label))
        if first != split:
            self._copies.setdefault((first, split), []).append(looked.name)
        self._digest.update(f"\0{split} {label} {len(looked.record.picture)}\0".encode())
        self._digest.update(looked.record.picture)
        widths, heights = zip(*self._sizes, looked.size, strict=True)
        self._sizes = [(min(widths), min(heights)), (max(widths), max(heights))]
        if split == "train":
            self._pixels += looked.pixels
            self._total += looked.total
            self._products += looked.products

    def write(self, folder: Path, console: Console) -> None:
        """Writes the figures into a folder, and prints the warnings among them.

        Raises:
          DataError: where pictures are unreadable.
        """
        manifest = self._manifest()
        records.write_manifest(folder, manifest)
        for warning in manifest.warnings:
            print_line(console, f"warning: {warning}")

    def _manifest(self) -> Manifest:
        if self.unreadable:
            more = len(self.unreadable) - _TOLD
            lines = self.unreadable[:_TOLD] + ([f"and {more} more"] if more > 0 else [])
            raise DataError(
                f"--source: {len(self.unreadable)} pictures cannot be read; mend or remove them:\n" + "\n".join(lines)
            )
        mean = self._total / self._pixels
        covariance = self._products / self._pixels - np.outer(mean, mean)
        (least_width, least_height), (greatest_width, greatest_height) = self._sizes
        return Manifest(
            class_names=self._class_names,
            examples=self._examples,
            checksum=self._digest.hexdigest(),
            widths=(least_width, greatest_width),
            heights=(least_height, greatest_height),
            mean=tuple(mean.tolist()),
            covariance=tuple(map(tuple, covariance.tolist())),
            warnings=self._warnings + tuple(self._suspicions()),
            training_copies=self._training_copies,
        )

    def _suspicions(self) -> list[str]:
        counts = {_IN_WORDS.get(split, split): by_class for split, by_class in self._counts.items()}
        found = data_warnings.absent_classes(counts, self._class_names)
        if self._in_two_classes:
            name, *labels = self._in_two_classes[0]
            own, first = (as_text(self._class_names[label]) for label in labels)
            named = (f"{as_text(name)} of class {own}", f"one of class {first} before it")
            number, examples = len(self._in_two_classes), self._examples["train"]
            found.append(data_warnings.in_two_classes(number, examples, "pictures", "byte by byte", named))
        for (first, split), copies in self._copies.items():
            one, other = (_IN_WORDS.get(each, each) for each in (first, split))
            found.append(
                f"{len(copies)} of the {self._examples[split]} {other} pictures {'are' if len(copies) > 1 else 'is'} "
                f"also among the {one} pictures, byte by byte: {as_text(copies[0])}{' first' * (len(copies) > 1)}"
            )
        return found
