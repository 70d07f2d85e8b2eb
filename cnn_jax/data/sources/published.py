"""Published data sets on disk: prepared once, by one process, as ArrayRecord files that TFDS reads too."""

from __future__ import annotations

import dataclasses
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import filelock
import numpy as np
import platformdirs
from jaxtyping import Int32, UInt8

from cnn_jax import user_path
from cnn_jax.data.errors import DataError
from cnn_jax.data.sources import memory
from cnn_jax.data.sources.download import DownloadError, fetch
from cnn_jax.data.split import Split

_VERSION = "1.0.0"


@dataclasses.dataclass(frozen=True, kw_only=True)
class PublishedSet:
    """A published data set of images of one size.

    Attributes:
      name: The config's.
      title: As people call it.
      image_shape: (height, width, channels) in pixels.
      counts: Images of each split.
      class_names: Names of the classes in label order, by the name of the label.
      homepage, description, citation: For the TFDS metadata.
    """

    name: str
    title: str
    image_shape: tuple[int, int, int]
    counts: dict[str, int]
    class_names: dict[str, tuple[str, ...]]
    homepage: str
    description: str
    citation: str


class PublishedImages(NamedTuple):
    """Images of one split, with their labels by name."""

    images: UInt8[np.ndarray, "n h w c"]
    labels: dict[str, Int32[np.ndarray, " n"]]

    def split(self, label: str) -> Split:
        """Copies the images, with the label of this name, to memory that devices on the host can share."""
        memory.require(self.images.nbytes, "config.data")
        images = memory.empty(self.images.shape)
        images[...] = self.images
        return Split(images, self.labels[label])


Splits = dict[str, PublishedImages]


def default_data_dir() -> Path:
    """CNN_JAX_DATA_DIR, else `data` in the user's cache folder.

    Raises:
      DataError: where CNN_JAX_DATA_DIR cannot be a path.
    """
    named = os.environ.get("CNN_JAX_DATA_DIR")
    if named and (fault := user_path.fault_of(named)):
        raise DataError(f"CNN_JAX_DATA_DIR: {fault}")
    return Path(named).expanduser() if named else Path(platformdirs.user_cache_dir("cnn_jax")) / "data"


def prepare_once(
    known: PublishedSet, data_dir: Path, read: Callable[[], Splits | None], make: Callable[[Path], Splits]
) -> Splits:
    """Reads what was prepared, or prepares it, one process at a time.

    Args:
      known: The data set.
      data_dir: Folder of prepared data.
      read: Reads what was prepared; gives None where nothing was, or it is damaged.
      make: Prepares it in the folder that it is given. A folder `download` there is removed afterwards.

    Raises:
      DataError: If the folder cannot be written.
    """
    if (found := read()) is not None:
        return found
    folder = data_dir / known.name
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # One process prepares; others wait here, and then find it done.
        with filelock.FileLock(data_dir / f".{known.name}.lock"):
            if (found := read()) is None:
                for leftover in folder.glob("incomplete.*"):  # of a process that was killed
                    shutil.rmtree(leftover, ignore_errors=True)
                found = make(folder)
                shutil.rmtree(folder / "download", ignore_errors=True)
            return found
    except OSError as error:
        raise DataError(
            f"--data_dir: cannot write to {folder}: {error.strerror or error}; name another with --data_dir"
        ) from error


def download(
    known: PublishedSet, folder: Path, files: Mapping[str, tuple[str, str, int]], *, package: str | None, how: str
) -> Path:
    """Fetches files of a data set that are not in the folder `download` already.

    Args:
      known: The data set.
      folder: Folder that `download` is in.
      files: URL, SHA-256 (hex) and bytes of each file, by its name.
      package: A package of Debian that has the data set; None for none.
      how: Files to fetch by hand, and the flag that names them then; for the error.

    Returns:
      The folder of the files.

    Raises:
      DataError: If they cannot be fetched; the message has all ways to get them.
    """
    target = folder / "download"
    target.mkdir(exist_ok=True)
    try:
        for name, (url, sha256, size) in files.items():
            if not (target / name).exists():
                fetch(url, target / name, sha256, size)
    except DownloadError as error:
        steps = [f"{known.title} is not on this machine, and could not be fetched: {error}", "Any of these helps:"]
        if package is not None:
            steps.append(f"  - on Debian or Ubuntu: apt-get install {package}, then the same command again")
        steps.append(f"  - fetch {how}")
        steps.append("  - where the network comes and goes: the same command again; what has arrived is kept")
        raise DataError("\n".join(steps)) from error
    return target


def has_records(known: PublishedSet, data_dir: Path) -> bool:
    """Whether the records were written; what a killed process has left is in `incomplete.*`."""
    return (data_dir / known.name / _VERSION / "dataset_info.json").is_file()


def write_records(known: PublishedSet, data_dir: Path, splits: Splits) -> None:
    """Writes one record for each image, in the published order, in place of damaged ones.

    Args:
      known: The data set.
      data_dir: Folder of prepared data; the records are in <name>/<version> then.
      splits: The images.
    """
    import tensorflow_datasets as tfds  # it takes a third of a second to import: only who writes pays

    folder, partial = (data_dir / known.name / name for name in (_VERSION, f"incomplete.{_VERSION}"))
    pixels = tfds.features.Tensor(shape=known.image_shape, dtype=np.uint8, encoding=tfds.features.Encoding.BYTES)
    labels = {name: tfds.features.ClassLabel(names=list(names)) for name, names in known.class_names.items()}
    info = tfds.core.DatasetInfo(
        builder=tfds.core.dataset_info.DatasetIdentity(
            name=known.name, version=tfds.core.Version(_VERSION), data_dir=str(partial), module_name=__name__
        ),
        features=tfds.features.FeaturesDict({"image": pixels, **labels}),
        supervised_keys=("image", list(labels)[-1]),
        disable_shuffling=True,
        homepage=known.homepage,
        description=known.description,
        citation=known.citation,
    )
    partial.mkdir()
    writer = tfds.core.SequentialWriter(info, max(known.counts.values()), file_format="array_record")
    writer.initialize_splits(list(splits))
    for name, split in splits.items():
        for number, image in enumerate(split.images):
            numbers = {label: int(each[number]) for label, each in split.labels.items()}
            writer.add_examples({name: [{"image": image, **numbers}]})
    writer.close_all()
    shutil.rmtree(folder, ignore_errors=True)
    partial.rename(folder)


def read_records(known: PublishedSet, data_dir: Path) -> Splits | None:
    """Reads the images of all splits; None where there are no records, or these are damaged.

    Args:
      known: The data set.
      data_dir: Folder of prepared data.
    """
    if not has_records(known, data_dir):
        return None
    from array_record.python.array_record_module import ArrayRecordReader
    from google.protobuf.message import DecodeError
    from tensorflow_datasets.proto import tf_example_pb2

    found = {}
    try:
        for split, count in known.counts.items():
            images = np.empty((count, *known.image_shape), np.uint8)
            labels = {name: np.empty(count, np.int32) for name in known.class_names}
            records = _all_records(
                ArrayRecordReader, (data_dir / known.name / _VERSION).glob(f"*-{split}.array_record*")
            )
            for number, record in enumerate(records):
                features = tf_example_pb2.Example.FromString(record).features.feature
                pixels = features["image"]
                # Older versions of this project wrote each pixel as a number.
                content = pixels.bytes_list.value[0] if pixels.bytes_list.value else bytes(pixels.int64_list.value)
                images[number] = np.frombuffer(content, np.uint8).reshape(known.image_shape)
                for name, values in labels.items():
                    values[number] = features[name].int64_list.value[0]
            if len(records) != count:
                return None
            found[split] = PublishedImages(images, labels)
    except (RuntimeError, DecodeError, IndexError, ValueError):  # ArrayRecord's for damaged bytes, and of the parts
        return None
    return found


def _all_records(reader: Callable[[str], Any], shards: Iterator[Path]) -> Sequence[bytes]:
    found: list[bytes] = []
    for shard in sorted(shards):
        opened = reader(str(shard))
        found += opened.read_all()
        opened.close()
    return found
