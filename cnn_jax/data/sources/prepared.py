"""Named data sets on disk: found or fetched, verified, written once as ArrayRecord, read fast ever after.

Under `<data_dir>/<name>` lie `<version>/`, what TFDS writes and reads, and `idx/`, the four published files
unpacked. A start reads these: checking and parsing 55 MB takes a tenth of a second, decoding 70,000 records
two seconds.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import re
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

import filelock
import numpy as np
import platformdirs
from rich.console import Console

from cnn_jax import user_path
from cnn_jax.data.errors import DataError
from cnn_jax.data.sources import idx
from cnn_jax.data.sources.data_file import read_bytes
from cnn_jax.data.sources.download import DownloadError, fetch
from cnn_jax.data.sources.named import NAMED_SETS, TEST_IMAGES, TEST_LABELS, TRAIN_IMAGES, TRAIN_LABELS, NamedSet
from cnn_jax.data.split import Split
from cnn_jax.terminal import print_line

_PAIRS = {"train": (TRAIN_IMAGES, TRAIN_LABELS), "test": (TEST_IMAGES, TEST_LABELS)}
_IDX_DIR = "config.data.idx_dir"

Stamp = tuple[tuple[int, int], ...]


def default_data_dir() -> Path:
    """CNN_JAX_DATA_DIR, else `data` in the user's cache folder.

    Raises:
      DataError: where CNN_JAX_DATA_DIR cannot be a path.
    """
    named = os.environ.get("CNN_JAX_DATA_DIR")
    if named and (fault := user_path.fault_of(named)):
        raise DataError(f"CNN_JAX_DATA_DIR: {fault}")
    return Path(named).expanduser() if named else Path(platformdirs.user_cache_dir("cnn_jax")) / "data"


def load_named(
    named: NamedSet, idx_dir: str | None, data_dir: Path, console: Console | None = None
) -> tuple[Split, Split]:
    """Reads a named data set, preparing it where it is not.

    Args:
      named: which.
      idx_dir: folder of the four IDX files, asked before any other source; None: Debian's folder, then the
        official address.
      data_dir: Folder of prepared data.
      console: for what takes long; None is standard error.

    Returns:
      (train, test).

    Raises:
      DataError: where no source has it, or a source is not what was published.
    """
    if idx_dir is not None and not Path(idx_dir).expanduser().is_dir():
        raise DataError(f"{_IDX_DIR}: {idx_dir} is no folder")
    folder = data_dir / named.name
    splits = _read_unpacked(named, folder / "idx")
    if splits is not None and _is_prepared(folder):
        return splits
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # One process prepares; others wait here, and then find it done.
        with filelock.FileLock(data_dir / f".{named.name}.lock"):
            splits = _read_unpacked(named, folder / "idx")
            if splits is None or not _is_prepared(folder):
                splits = _prepare(named, idx_dir, folder, splits, console or Console(stderr=True))
    except OSError as error:
        raise DataError(
            f"--data_dir: cannot write to {folder}: {error.strerror}; name another with --data_dir"
        ) from error
    return splits


def stamp(named: NamedSet, data_dir: Path) -> Stamp | None:
    """Sizes in bytes and times of a prepared set's files, which change when they are touched; None without files."""
    return stamp_of([data_dir / named.name / "idx" / name for name in named.files])


def stamp_of(paths: Sequence[Path]) -> Stamp | None:
    """Sizes in bytes and times of files, by which it is noticed that they are touched; None where one is missing."""
    try:
        files = [path.stat() for path in paths]
    except (OSError, ValueError):  # the latter for a path with a NUL
        return None
    return tuple((file.st_size, file.st_mtime_ns) for file in files)


def _is_prepared(folder: Path) -> bool:
    """Whether TFDS has written the records; what a killed process has left is in `incomplete.*`."""
    return any(re.fullmatch(r"\d+\.\d+\.\d+", file.parent.name) for file in folder.glob("*/dataset_info.json"))


def _prepare(
    named: NamedSet, idx_dir: str | None, folder: Path, splits: tuple[Split, Split] | None, console: Console
) -> tuple[Split, Split]:
    """Brings up what is missing; the caller holds the lock."""
    for leftover in folder.glob("incomplete.*"):  # of a process that was killed
        shutil.rmtree(leftover, ignore_errors=True)
    if splits is None:
        contents = _read_records(named, folder) if _is_prepared(folder) else None
        if contents is None:
            shutil.rmtree(folder / "1.0.0", ignore_errors=True)
            source = _source(named, idx_dir, folder, console)
            print_line(console, f"preparing {named.title} from {source}, once")
            contents = {name: _published(named, name, source) for name in named.files}
        _write_unpacked(folder / "idx", contents)
        splits = _splits(contents, folder / "idx")
    if not _is_prepared(folder):
        _write_records(named, folder, splits)
    shutil.rmtree(folder / "download", ignore_errors=True)
    return splits


# --- the unpacked files -------------------------------------------------------------------------------


def _read_unpacked(named: NamedSet, folder: Path) -> tuple[Split, Split] | None:
    """Reads the four files; None where one is missing or not what was published."""
    contents = {}
    for name, file in named.files.items():
        path = folder / name
        try:
            content = path.read_bytes() if path.is_file() else b""
        except OSError as error:  # unknown is not damaged
            raise DataError(f"--data_dir: {path} cannot be read: {error.strerror}") from error
        if hashlib.sha256(content).hexdigest() != file.content_sha256:
            return None
        contents[name] = content
    return _splits(contents, folder)


def _splits(contents: Mapping[str, bytes], folder: Path) -> tuple[Split, Split]:
    arrays = {name: idx.parse_idx(content, folder / name, name) for name, content in contents.items()}
    train, test = (
        idx.join(arrays[images], arrays[labels], folder / images, folder / labels, images, labels)
        for images, labels in _PAIRS.values()
    )
    return train, test


def _write_unpacked(folder: Path, contents: Mapping[str, bytes]) -> None:
    folder.mkdir(exist_ok=True)
    for name, content in contents.items():
        temporary = folder / f".{name}.{os.getpid()}"
        temporary.write_bytes(content)
        temporary.replace(folder / name)


# --- ArrayRecord, by TFDS -----------------------------------------------------------------------------


def _write_records(named: NamedSet, folder: Path, splits: tuple[Split, Split]) -> None:
    from cnn_jax.data.sources.builders import BUILDERS  # TFDS takes a third of a second to import: only who writes pays

    builder = BUILDERS[named.name](folder.parent, dict(zip(_PAIRS, splits, strict=True)))
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):  # its progress bars
        builder.download_and_prepare(download_dir=str(folder / "download"))


def _read_records(named: NamedSet, folder: Path) -> dict[str, bytes] | None:
    """Makes the published files again from the records; None where these are damaged."""
    from cnn_jax.data.sources.builders import BUILDERS

    contents = {}
    try:
        builder = BUILDERS[named.name](folder.parent)
        for split, (images, labels) in _PAIRS.items():
            source = builder.as_data_source(split)
            records = source.__getitems__(range(len(source)))
            pixels = np.stack([record["image"][:, :, 0] for record in records])
            numbers = np.array([record["label"] for record in records], np.uint8)
            for name, array in ((images, pixels), (labels, numbers)):
                header = bytes([0, 0, 8, array.ndim]) + b"".join(size.to_bytes(4, "big") for size in array.shape)
                contents[name] = header + array.tobytes()
    except Exception:  # whatever TFDS and ArrayRecord raise for damaged files, they are written again
        return None
    whole = all(hashlib.sha256(contents[name]).hexdigest() == file.content_sha256 for name, file in named.files.items())
    return contents if whole else None


# --- where the published files come from --------------------------------------------------------------


def _source(named: NamedSet, idx_dir: str | None, folder: Path, console: Console) -> Path:
    """The folder that has the four files, downloaded in the end."""
    if idx_dir is not None:
        source = Path(idx_dir).expanduser()
        missing = [name for name in named.files if _find(source, name) is None]
        if missing:
            raise DataError(f"{_IDX_DIR}: {source} has no {', '.join(missing)} (with or without .gz)")
        return source
    if named.debian_folder is not None:
        source = Path(named.debian_folder)
        if all(_find(source, name) for name in named.files):
            return source
    source = folder / "download"
    source.mkdir(exist_ok=True)
    try:
        for name, file in named.files.items():
            target = source / f"{name}.gz"
            if not target.exists():
                fetch(f"{named.url}{name}.gz", target, file.gz_sha256, file.gz_bytes, console)
    except DownloadError as error:
        raise DataError(_how_to_get(named, error)) from error
    return source


def _how_to_get(named: NamedSet, error: DownloadError) -> str:
    steps = [f"{named.title} is not on this machine, and could not be fetched: {error}", "Any of these helps:"]
    if named.debian_package is not None:
        steps.append(f"  - on Debian or Ubuntu: apt-get install {named.debian_package}, then the same command again")
    files = ", ".join(f"{name}.gz" for name in named.files)
    steps.append(f"  - fetch {files} from {named.url} on another machine, put them into a folder FOLDER here, and add")
    steps.append("    --config.data.idx_dir=FOLDER")
    steps.append("  - where the network comes and goes: the same command again; what has arrived is kept")
    return "\n".join(steps)


def _find(folder: Path, name: str) -> Path | None:
    spellings = (name, f"{name}.gz", name.replace("-idx", ".idx"), f"{name.replace('-idx', '.idx')}.gz")
    return next((folder / spelling for spelling in spellings if (folder / spelling).is_file()), None)


def _published(named: NamedSet, name: str, folder: Path) -> bytes:
    """One file's content, which is what was published, or an error that says what it is."""
    path = _find(folder, name)
    assert path is not None
    content = read_bytes(path, _IDX_DIR)
    digest = hashlib.sha256(content).hexdigest()
    if digest == named.files[name].content_sha256:
        return content
    for other in NAMED_SETS.values():
        for other_name, file in other.files.items():
            if digest == file.content_sha256:
                raise DataError(f"{_IDX_DIR}: {path} holds {other.title}'s {other_name}, not {named.title}'s {name}")
    idx.parse_idx(content, path, _IDX_DIR)  # tells of a file that is cut short, or none of its kind
    raise DataError(
        f"{_IDX_DIR}: {path} is not {named.title}'s {name}: the SHA-256 of its content is {digest[:12]}..., "
        f'expected {named.files[name].content_sha256[:12]}...; for files of your own use config.data.name="idx"'
    )
