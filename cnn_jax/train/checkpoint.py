"""Checkpoints by Orbax: asynchronous, verified when read, the newest few and the best kept."""

from __future__ import annotations

import contextlib
import functools
import importlib
import json
import logging
import re
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import jax
import numpy as np

from cnn_jax import whole_file
from cnn_jax.host_copy import HostCopy
from cnn_jax.packed_arrays import digests, packed, unpacked, whole_digest
from cnn_jax.run import orbax_messages
from cnn_jax.run.errors import RunFailed, RunFolderError, explain, os_error
from cnn_jax.run.records import RecordsDigest, parse

if TYPE_CHECKING:
    import orbax.checkpoint.experimental.v1 as ocp

T = TypeVar("T")

_Shapes = Mapping[str, tuple[tuple[int, ...], np.dtype]]

_LISTED = 5  # arrays that a message names

_log = logging.getLogger(__name__)


class DamagedCheckpointError(Exception):
    """A checkpoint whose files can be read, and whose content is not what was saved."""


def _rank(metrics: Mapping[str, float]) -> tuple[float, float]:
    """Orders checkpoints for keeping: the most accurate, of equals the earliest."""
    return metrics["accuracy"], -metrics["epoch"]


class Checkpoints:
    """The checkpoints of one run; close it, or the last save is lost.

    What the system refuses is raised as an OSError that names the folder, also for files that Orbax writes later.
    """

    def __init__(self, directory: Path, keep_last: int = 1, alone: bool = True):
        """Names the folder; Orbax opens it when there is something to save or to read.

        Args:
          directory: Folder of the checkpoints; created where it is missing.
          keep_last: Number of newest checkpoints to keep beside the best.
          alone: Whether the process saves no other run meanwhile.
        """
        self._directory = directory.resolve()
        self._directory.mkdir(parents=True, exist_ok=True)
        self._keep_last = keep_last
        self._alone = alone
        self._link: tempfile.TemporaryDirectory[str] | None = None
        self._writing: Future[None] | None = None  # what was given to `save` last, where a thread writes it
        self._host_copy = HostCopy()
        self._records: dict[int, RecordsDigest | None] = {}  # seen by what was saved or read here, by step
        self._reads_back = not self.steps()  # until a checkpoint has been read, or could not be saved
        self._importing: threading.Thread | None = None

    @functools.cached_property
    def _checkpointer(self) -> ocp.training.Checkpointer:
        ocp = _orbax()
        context, policies = ocp.Context(), ocp.training.preservation_policies
        context.array.saving.use_compression = False  # weights hardly shrink
        context.pytree.loading.partial_load = True
        return ocp.training.Checkpointer(
            self._plain_path,
            preservation_policy=policies.AnyPreservationPolicy(
                [
                    policies.LatestN(self._keep_last),
                    policies.BestN(get_metric_fn=_rank, n=1, keep_checkpoints_without_metrics=False),
                ]
            ),
            cleanup_tmp_directories=True,
            context=context,
        )

    @functools.cached_property
    def _plain_path(self) -> Path:
        """Gives a path of the folder that Orbax can use: it finds its files by patterns, as a shell does.

        Raises:
          RunFolderError: If the folder for temporary files has such a path too.
        """
        if not _is_special(self._directory):
            return self._directory
        self._link = tempfile.TemporaryDirectory(prefix="cnn_jax-")
        link = Path(self._link.name) / "checkpoints"
        if _is_special(link):
            raise RunFolderError(
                f"--workdir: checkpoints cannot be kept under {self._directory}, whose name has characters of patterns "
                f"or that are not UTF-8, and neither under TMPDIR={link.parent.parent}; rename one of them"
            )
        link.symlink_to(self._directory)
        return link

    def prepare(self, state: object | None) -> None:
        """Starts to import Orbax and to take memory, so that the first save need not wait for them.

        Call it when the training begins: before, while programs are traced, another thread that imports is in the way.

        Args:
          state: State of the shapes that will be saved; None where no memory is kept for its copies.
        """
        self._importing = threading.Thread(target=_orbax)
        self._importing.start()
        if state is not None:
            self._host_copy.reserve(_named_leaves(state))

    def save(
        self,
        step: int,
        state: object,
        validation: Mapping[str, float] | None = None,
        records: RecordsDigest | None = None,
    ) -> None:
        """Starts to save a state, and returns once it is copied; the first of a run is read back when it is saved.

        A thread computes the digests and starts Orbax. With several runs in a process, or several processes of a run,
        this thread does: Orbax counts the saves of a process, and makes the processes' devices wait for each other.

        Args:
          step: Number of the step; nothing is saved twice.
          state: Any tree of arrays.
          validation: "accuracy" and "epoch", by which the best is kept; None is never the best.
          records: Digest of the run's records so far.

        Raises:
          OSError: If the one before cannot be written; `wait` raises it for this one.
          RunFailed: If the first cannot be read back.
          RunFolderError: If the folder has a name that Orbax cannot use, and so has the one for temporary files.
        """
        in_thread = self._alone and jax.process_count() == 1
        if in_thread:
            self.wait()
        if step in self._records and self._records[step] == records:
            return
        if self._records and self._reads_back:
            self.wait()
        _ = self._plain_path
        leaves = _named_leaves(state)
        if not in_thread:
            self._write(step, {name: np.array(leaf) for name, leaf in leaves.items()}, validation, records)
            return
        arrays = self._host_copy.copy(leaves)

        def write_to_the_end() -> None:
            self._write(step, arrays, validation, records)
            self._finish_orbax()

        thread = ThreadPoolExecutor(1)
        self._writing = thread.submit(write_to_the_end)
        thread.shutdown(wait=False)

    def _write(
        self,
        step: int,
        arrays: Mapping[str, np.ndarray],
        validation: Mapping[str, float] | None,
        records: RecordsDigest | None,
    ) -> None:
        """Starts Orbax; the arguments are those of `save`, the state as a dictionary of arrays that nobody changes."""
        kept, layout = packed(arrays)
        metadata = {"digests": digests(arrays), "packed": layout}
        with self._named_errors():
            self._checkpointer.save_async(
                step,
                kept,
                force=True,
                overwrite=step in self.steps(),
                metrics=dict(validation) if validation else None,
                custom_metadata=metadata | ({} if records is None else {"records": records.to_json()}),
            )
        self._records[step] = records

    def load(self, step: int, like: T, partial: bool = False) -> T:
        """Reads one checkpoint.

        Args:
          step: Number of the step.
          like: Tree of arrays or shapes of the structure wanted.
          partial: Whether `like` is a part of what was saved; the rest is not read.

        Returns:
          The state, as NumPy arrays.

        Raises:
          DamagedCheckpointError: If it is missing, or all its files can be read and are not what was saved.
          RunFolderError: If it cannot be read, or has other arrays than `like`.
        """
        expected = {name: (leaf.shape, leaf.dtype) for name, leaf in _named_leaves(like).items()}
        arrays = self._read_whole(step, set(expected) if partial else None)
        found = {name: (leaf.shape, leaf.dtype) for name, leaf in arrays.items()}
        if differences := _differences(found, expected, partial):
            raise RunFolderError(
                f"--workdir: checkpoint {step} in {self._directory} is of another network or optimizer:\n  "
                + "\n  ".join(differences)
                + "\nthe data's classes, the versions of the packages or the settings of JAX have changed since; bring "
                "them back, or name another --workdir; nothing was changed"
            )
        leaves = [arrays[name] for name in _named_leaves(like)]
        return jax.tree.unflatten(jax.tree.structure(like), leaves)

    def records_seen(self, step: int) -> RecordsDigest | None:
        """Gives the records' digest that a checkpoint, which `load` has read, was saved with; None if it has none."""
        return self._records[step]

    def _read_whole(self, step: int, wanted: set[str] | None) -> dict[str, np.ndarray]:
        """Reads arrays by name, those wanted or all; a second time where the first fails."""
        if step not in self.steps():
            raise DamagedCheckpointError(f"checkpoint {step} cannot be read: {self._directory} has none of this step")
        for is_last in (False, True):
            try:
                return self._read(step, wanted)
            except Exception as error:  # Orbax and TensorStore raise many kinds for files that are gone or cut short
                self._refuse_unreadable(step, error)
                if is_last:
                    raise DamagedCheckpointError(
                        f"checkpoint {step} cannot be read: {type(error).__name__}: {error}"
                        if not isinstance(error, DamagedCheckpointError)
                        else str(error)
                    ) from error
                self.close()  # whatever hindered it may have passed
        raise AssertionError("the last attempt returns or raises")

    def _read(self, step: int, wanted: set[str] | None) -> dict[str, np.ndarray]:
        described = self._checkpointer.metadata(step)
        metadata = described.custom_metadata or {}
        layout, expected = metadata.get("packed", {}), metadata.get("digests")
        stored = {
            name: np.broadcast_to(np.zeros((), leaf.dtype), leaf.shape)  # what Orbax takes for a shape
            for name, leaf in described.metadata.items()
            if wanted is None or expected is None or name in wanted or name in layout
        }
        arrays = unpacked(
            {name: np.asarray(leaf) for name, leaf in self._checkpointer.load(step, stored).items()}, layout
        )
        if expected is None:  # of before arrays had digests of their own
            whole = metadata.get("digest") in (digests(arrays), whole_digest(arrays))
        else:
            whole = digests(arrays) == {name: expected.get(name) for name in arrays}
        if not whole:
            raise DamagedCheckpointError(f"checkpoint {step} is not what was saved: its digest differs")
        seen = metadata.get("records")
        self._records[step] = None if seen is None else parse(RecordsDigest, json.dumps(seen))
        return arrays

    def _refuse_unreadable(self, step: int, error: Exception) -> None:
        """Raises RunFolderError where the system refuses to read a file, or memory is short: that is no damage."""
        fault: BaseException | None = os_error(error, self._directory / str(step))
        if isinstance(fault, FileNotFoundError):
            fault = None  # of a file that is gone
        if fault is None and explain(error) is not None and not isinstance(error, OSError):
            fault = error
        if fault is None:
            try:
                whole_file.check_readable(self._directory / str(step))
            except OSError as refused:
                fault = refused
        if fault is not None:
            raise RunFolderError(
                f"--workdir: checkpoint {step} cannot be read: {explain(fault)}; it is left as it is, and the same "
                "command goes on from it once it can be read"
            ) from error

    def steps(self) -> set[int]:
        """Lists the steps of all checkpoints, by their folders: a damaged one may be missing from Orbax's list."""
        return {int(entry.name) for entry in self._directory.iterdir() if entry.name.isdecimal()}

    def set_aside(self, step: int, error: DamagedCheckpointError) -> None:
        """Moves a damaged checkpoint out of the way, with a warning."""
        aside = self._directory.with_name("damaged_checkpoints")
        aside.mkdir(exist_ok=True)
        number = sum(1 for _ in aside.iterdir())
        target = aside / f"{step}-{number}"
        self.close()
        (self._directory / str(step)).rename(target)
        _log.warning("%s; set aside as %s, the one before it is used", error, target)

    def wait(self) -> None:
        """Waits until what has been given to `save` is on the disk, and reads the first of a run back.

        Raises:
          OSError: If it cannot be written.
          RunFailed: If the first cannot be read back.
        """
        writing, self._writing = self._writing, None
        if writing is not None:
            writing.result()
        self._finish_orbax()

    def _finish_orbax(self) -> None:
        if "_checkpointer" not in self.__dict__:
            return
        with self._named_errors():
            self._checkpointer.wait()
        if not (self._records and self._reads_back):
            return
        step, self._reads_back = max(self._records), False
        try:
            self._read(step, None)
        except Exception as error:  # whatever it is, the training must not go on in vain
            raise RunFailed(
                f"checkpoint {step} was saved in {self._directory} and cannot be read back: "
                f"{explain(error) or f'{type(error).__name__}: {error}'}; name another --workdir, on a local disk"
            ) from error

    def close(self) -> None:
        """Waits until everything is saved, as `wait`."""
        if self._importing is not None:
            self._importing.join()
        try:
            self.wait()
        finally:
            if (opened := self.__dict__.pop("_checkpointer", None)) is not None:
                with self._named_errors():
                    opened.close()
            self._host_copy = HostCopy()
            self.__dict__.pop("_plain_path", None)
            if self._link is not None:
                self._link.cleanup()
                self._link = None

    @contextlib.contextmanager
    def _named_errors(self) -> Iterator[None]:
        """Turns errors that stand for the system's into OSErrors of the folder."""
        try:
            yield
        except Exception as error:
            self._reads_back = False
            if (refused := os_error(error, self._directory)) is None:
                raise
            raise refused from error


def load_newest_common(group: Sequence[Checkpoints], like: T) -> tuple[int, list[T]] | None:
    """Reads the newest step of which all runs of a group have a whole checkpoint; damaged ones are set aside.

    Args:
      group: Checkpoints of each run.
      like: Tree of the structure and shapes of one run's state.

    Returns:
      The step, and the state of each run as NumPy arrays; None where they have no step in common.

    Raises:
      RunFolderError: If a checkpoint cannot be read, or has other arrays than `like`.
    """
    while common := set.intersection(*(checkpoints.steps() for checkpoints in group)):
        states = []
        for checkpoints in group:
            try:
                states.append(checkpoints.load(max(common), like))
            except DamagedCheckpointError as error:
                checkpoints.set_aside(max(common), error)
                break
        else:
            return max(common), states
    return None


def _is_special(path: Path) -> bool:
    """Whether a path has characters of a pattern, or some that are not UTF-8."""
    return re.search(r"[*?:\[\]{}\\%#\x00-\x1f\x7f\ud800-\udfff]", str(path)) is not None


def _differences(found: _Shapes, expected: _Shapes, partial: bool) -> list[str]:
    """Lists arrays that are not of the shape and type expected, the first few of them."""
    names = expected if partial else {**found, **expected}
    lines = [
        f"{name}: saved {_described(found.get(name))}, expected {_described(expected.get(name))}"
        for name in names
        if found.get(name) != expected.get(name)
    ]
    return lines if len(lines) <= _LISTED else [*lines[:_LISTED], f"and {len(lines) - _LISTED} more"]


def _described(array: tuple[tuple[int, ...], np.dtype] | None) -> str:
    return "nothing" if array is None else f"{array[1]}{list(array[0])}"


def _orbax() -> Any:
    """Imports Orbax, which takes a quarter of a second: the first steps can be computed meanwhile."""
    orbax_messages.silence()
    return importlib.import_module("orbax.checkpoint.experimental.v1")


def _named_leaves(tree: object) -> dict[str, np.ndarray | jax.Array]:
    """The arrays of a tree by their paths, so that a checkpoint is a plain dictionary."""
    return {jax.tree_util.keystr(path): leaf for path, leaf in jax.tree_util.tree_leaves_with_path(tree)}
