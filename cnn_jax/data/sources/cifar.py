"""CIFAR-10 and CIFAR-100: found or fetched, verified, written once as ArrayRecord, read fast ever after."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from cnn_jax.data.sources import cifar_archive, published
from cnn_jax.data.sources.cifar_sets import URL, CifarSet
from cnn_jax.data.sources.published import PublishedImages
from cnn_jax.data.split import Split
from cnn_jax.terminal import print_line


def load(known: CifarSet, archive: str | None, label: str, data_dir: Path) -> tuple[Split, Split, tuple[str, ...]]:
    """Reads the data set, preparing it where it is not.

    Args:
      known: The data set.
      archive: A published archive or its unpacked folder, which is read as it is; None reads what was prepared, and
        prepares it from a download.
      label: Name of the label, a key of the set's `class_names`.
      data_dir: Folder of prepared data.

    Returns:
      (train, test, what was passed over or is perhaps not meant in words).

    Raises:
      DataError: If it cannot be had, or is not what was published.
    """
    warnings: tuple[str, ...] = ()
    if archive is not None:
        path = Path(archive).expanduser()
        found = cifar_archive.read(path, known)
        if not cifar_archive.is_published(path, known):
            warnings = (
                f"{cifar_archive.FIELD}: {path} is none of the published archives byte by byte; its images are not "
                "verified",
            )
    else:
        found = _prepared(known, data_dir)
    return found["train"].split(label), found["test"].split(label), warnings


def _prepared(known: CifarSet, data_dir: Path) -> dict[str, PublishedImages]:
    """Reads what was prepared, or prepares it."""

    def make(folder: Path) -> dict[str, PublishedImages]:
        archive = _downloaded(known, folder)
        print_line(Console(stderr=True), f"preparing {known.title} from {archive}, once")
        found = cifar_archive.read(archive, known)
        published.write_records(known, data_dir, found)
        return found

    return published.prepare_once(known, data_dir, lambda: published.read_records(known, data_dir), make)


def _downloaded(known: CifarSet, folder: Path) -> Path:
    archive = next(each for each in known.archives if each.sha256 is not None)
    assert archive.sha256 is not None
    assert archive.size is not None
    names = " or ".join(each.name for each in known.archives)
    how = f"{names} from {URL} on another machine, and add --config.data.archive=FILE"
    files = {archive.name: (f"{URL}{archive.name}", archive.sha256, archive.size)}
    return published.download(known, folder, files, package=None, how=how) / archive.name
