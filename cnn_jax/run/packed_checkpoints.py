"""Checkpoints of a run that rests, all in one file: Orbax makes a dozen files of each."""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

from cnn_jax import whole_file
from cnn_jax.config import Checkpoint
from cnn_jax.run.errors import RunFolderError, explain
from cnn_jax.run.folder import PACKED, RunFolder, lock

_EXTRACTED = ".checkpoints"  # a folder that is moved away, or has not come to its place

_log = logging.getLogger(__name__)


class DamagedArchiveError(Exception):
    """A file of checkpoints that can be read and is none, or not what was written."""


def pack(folder: RunFolder) -> None:
    """Packs the checkpoints of a run that rests into checkpoints.zip, and removes its lock.

    Of a finished run only the one that its result is of stays, unless config.checkpoint.keep_last is above its default:
    the others are there to go on from.

    Args:
      folder: Folder of the run, which nobody trains in.

    Raises:
      OSError: If the file cannot be written; the checkpoints then stay as they are.
      RunFolderError: If a process trains in the folder.
    """
    held = lock(folder.path, "another process is training in")
    try:
        _remove(folder.path / _EXTRACTED)
        if folder.checkpoints.is_dir():
            _pack(folder)
        _remove(folder.path / _EXTRACTED)
        (folder.path / ".lock").unlink(missing_ok=True)
    finally:
        held.release()


def _pack(folder: RunFolder) -> None:
    unpack(folder)  # what a kill has left in both places
    steps = sorted(_steps(folder.checkpoints))
    result = folder.result()
    if (
        result is not None
        and result.step in steps
        and folder.experiment().checkpoint.keep_last <= Checkpoint().keep_last
    ):
        steps = [result.step]
    if steps:
        with whole_file.temporary(folder.path / PACKED) as path, path.open("wb") as file:
            with zipfile.ZipFile(file, "w") as archive:  # weights hardly shrink
                for step in steps:
                    for each in sorted((folder.checkpoints / str(step)).rglob("*")):
                        if each.is_file():
                            name = each.relative_to(folder.checkpoints).as_posix()
                            with each.open("rb") as source, archive.open(zipfile.ZipInfo(name), "w") as target:
                                shutil.copyfileobj(source, target, 2**20)
            file.flush()
            os.fsync(file.fileno())
    # Moved away whole, so that no half of it is ever taken for a checkpoint.
    folder.checkpoints.rename(folder.path / _EXTRACTED)


def unpack(folder: RunFolder) -> None:
    """Brings packed checkpoints back to where Orbax keeps them; a damaged file of them is set aside with a warning.

    Args:
      folder: Folder of the run, locked by this process.

    Raises:
      OSError: If they cannot be read or written.
    """
    path, extracted = folder.path / PACKED, folder.path / _EXTRACTED
    _remove(extracted)
    if not path.exists():
        return
    try:
        _extract(path, extracted, None)
    except DamagedArchiveError as error:
        aside = folder.path / "damaged_checkpoints"
        aside.mkdir(exist_ok=True)
        target = aside / f"{sum(1 for _ in aside.iterdir())}-{PACKED}"
        path.rename(target)
        _remove(extracted)
        _log.warning("%s; set aside as %s, the training begins anew", error, target)
        return
    folder.checkpoints.mkdir(exist_ok=True)
    # Those that are there were unpacked before a kill, or not yet removed after they were packed.
    for step in _steps(extracted) - _steps(folder.checkpoints):
        (extracted / str(step)).rename(folder.checkpoints / str(step))
    path.unlink()
    _remove(extracted)


@contextlib.contextmanager
def opened(folder: RunFolder, step: int) -> Iterator[Path]:
    """Gives a folder with a run's checkpoint to read from: the run's own, or a temporary one of what is packed.

    Args:
      folder: Folder of the run, to which nothing is written.
      step: Number of the checkpoint's step.

    Yields:
      The folder of the checkpoints.

    Raises:
      RunFolderError: If the checkpoint is packed in a file that is damaged, or cannot be read.
    """
    path = folder.path / PACKED
    if (folder.checkpoints / str(step)).exists() or not path.exists():
        yield folder.checkpoints
        return
    with tempfile.TemporaryDirectory(prefix="cnn_jax-") as temporary:
        directory = Path(temporary) / "checkpoints"
        try:
            _extract(path, directory, step)
        except DamagedArchiveError as error:
            fix = "the command that trained sets it aside and trains anew, once result.json is moved away"
            raise RunFolderError(f"--workdir: {error}; {fix}") from error
        except OSError as error:
            raise RunFolderError(f"--workdir: checkpoint {step} cannot be read: {explain(error)}") from error
        yield directory


def _extract(path: Path, directory: Path, step: int | None) -> None:
    """Extracts the checkpoint of a step, or all of them."""
    directory.mkdir()
    try:
        with zipfile.ZipFile(path) as archive:
            for name in archive.namelist():
                if step is None or name.startswith(f"{step}/"):
                    archive.extract(name, directory)
    except OSError:
        raise
    except Exception as error:  # zipfile raises many kinds for bytes that are not what was written
        raise DamagedArchiveError(f"{path} is damaged: {error or type(error).__name__}") from error


def _steps(directory: Path) -> set[int]:
    if not directory.is_dir():
        return set()
    return {int(entry.name) for entry in directory.iterdir() if entry.name.isdecimal()}


def _remove(directory: Path) -> None:
    if directory.exists():
        shutil.rmtree(directory)
