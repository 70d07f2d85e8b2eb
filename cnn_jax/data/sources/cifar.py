"""CIFAR-10 and CIFAR-100: found or fetched, verified, written once as ArrayRecord, read fast ever after."""

from __future__ import annotations

import contextlib
import io
import shutil
from pathlib import Path

import filelock
import numpy as np
from rich.console import Console

from cnn_jax.data.errors import DataError
from cnn_jax.data.sources import cifar_archive, memory
from cnn_jax.data.sources.cifar_archive import SIDE, CifarImages
from cnn_jax.data.sources.cifar_sets import URL, Archive, CifarSet
from cnn_jax.data.sources.download import DownloadError, fetch
from cnn_jax.data.split import Split
from cnn_jax.terminal import print_line

_FIELD = "config.data.archive"
_VERSION = "1.0.0"


def load(
    known: CifarSet, archive: str | None, label: str, data_dir: Path, console: Console | None = None
) -> tuple[Split, Split, tuple[str, ...]]:
    """Reads the data set, preparing it where it is not.

    Args:
      known: The data set.
      archive: A published archive or its unpacked folder, which is read as it is; None reads what was prepared, and
        prepares it from a download.
      label: Name of the label, a key of the set's `class_names`.
      data_dir: Folder of prepared data.
      console: For what takes long; None is standard error.

    Returns:
      (train, test, what was passed over or is perhaps not meant in words).

    Raises:
      DataError: If it cannot be had, or is not what was published.
    """
    warnings: tuple[str, ...] = ()
    if archive is not None:
        path = Path(archive).expanduser()
        found = cifar_archive.read(path, known, _FIELD)
        if not cifar_archive.is_published(path, known):
            warnings = (
                f"{_FIELD}: {path} is none of the published archives byte by byte; its images are not verified",
            )
    else:
        found = _prepared(known, data_dir, console or Console(stderr=True))
    train, test = (_split(found[split], label) for split in ("train", "test"))
    return train, test, warnings


def _split(found: CifarImages, label: str) -> Split:
    images = memory.empty(found.images.shape)
    images[...] = found.images
    return Split(images, found.labels[label])


def _prepared(known: CifarSet, data_dir: Path, console: Console) -> dict[str, CifarImages]:
    """Reads what was prepared, or prepares it."""
    if (found := _read_records(known, data_dir)) is not None:
        return found
    folder = data_dir / known.name
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # One process prepares; others wait here, and then find it done.
        with filelock.FileLock(data_dir / f".{known.name}.lock"):
            if (found := _read_records(known, data_dir)) is not None:
                return found
            for leftover in folder.glob("incomplete.*"):  # of a process that was killed
                shutil.rmtree(leftover, ignore_errors=True)
            shutil.rmtree(folder / _VERSION, ignore_errors=True)
            archive = _downloaded(known, folder, console)
            print_line(console, f"preparing {known.title} from {archive}, once")
            found = cifar_archive.read(archive, known, _FIELD)
            _write_records(known, data_dir, found)
            shutil.rmtree(folder / "download", ignore_errors=True)
            return found
    except OSError as error:
        raise DataError(
            f"--data_dir: cannot write to {folder}: {error.strerror or error}; name another with --data_dir"
        ) from error


def _downloaded(known: CifarSet, folder: Path, console: Console) -> Path:
    archive = next(each for each in known.archives if each.sha256 is not None)
    target = folder / "download" / archive.name
    if target.exists():
        return target
    target.parent.mkdir(exist_ok=True)
    assert archive.sha256 is not None
    assert archive.size is not None
    try:
        fetch(f"{URL}{archive.name}", target, archive.sha256, archive.size, console)
    except DownloadError as error:
        raise DataError(_how_to_get(known, archive, error)) from error
    return target


def _how_to_get(known: CifarSet, archive: Archive, error: DownloadError) -> str:
    names = " or ".join(each.name for each in known.archives)
    return (
        f"{known.title} is not on this machine, and could not be fetched: {error}\nAny of these helps:\n"
        f"  - fetch {names} from {URL} on another machine, and add --config.data.archive=FILE\n"
        f"  - where the network comes and goes: the same command again; what has arrived of {archive.name} is kept"
    )


# --- ArrayRecord, by TFDS -----------------------------------------------------------------------------


def _write_records(known: CifarSet, data_dir: Path, found: dict[str, CifarImages]) -> None:
    from cnn_jax.data.sources.builders import CifarBuilder  # TFDS takes a third of a second to import

    builder = CifarBuilder(known, data_dir, found)
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):  # its progress bars
        builder.download_and_prepare(download_dir=str(data_dir / known.name / "download"))


def _read_records(known: CifarSet, data_dir: Path) -> dict[str, CifarImages] | None:
    """Reads the records; None where there are none, or these are damaged."""
    folder = data_dir / known.name / _VERSION
    if not (folder / "dataset_info.json").is_file():
        return None
    from array_record.python.array_record_module import ArrayRecordReader
    from google.protobuf.message import DecodeError
    from tensorflow_datasets.proto import tf_example_pb2

    found = {}
    try:
        for split, count in known.counts.items():
            images = np.empty((count, SIDE, SIDE, 3), np.uint8)
            labels = {name: np.empty(count, np.int32) for name in known.labels}
            number = 0
            for shard in sorted(folder.glob(f"*-{split}.array_record*")):
                reader = ArrayRecordReader(str(shard))
                for record in reader.read_all():
                    features = tf_example_pb2.Example.FromString(record).features.feature
                    pixels = np.frombuffer(features["image"].bytes_list.value[0], np.uint8)
                    images[number] = pixels.reshape(SIDE, SIDE, 3)
                    for name in known.labels:
                        labels[name][number] = features[name].int64_list.value[0]
                    number += 1
                reader.close()
            if number != count:
                return None
            found[split] = CifarImages(images, labels)
    except (RuntimeError, DecodeError, IndexError, ValueError):  # ArrayRecord's for damaged bytes, and of the parts
        return None
    return found
