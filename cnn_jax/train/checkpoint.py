"""Checkpoints by Orbax: saved asynchronously, verified when read; the newest few and the best are kept."""

from __future__ import annotations

import contextlib
import functools
import importlib
import json
import logging
import re
import tempfile
import threading
from collections.abc import Iterator, Mapping
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

_LISTED = 5  # number of arrays that a message lists

_log = logging.getLogger(__name__)


class DamagedCheckpointError(Exception):
    """A checkpoint is missing, or its content is not what was saved."""


def _rank(metrics: Mapping[str, float]) -> tuple[float, float]:
    """Returns the sort key of the best checkpoint: the highest accuracy, then the earliest epoch."""
    return metrics["accuracy"], -metrics["epoch"]


class Checkpoints:
    """Checkpoints of one run; unless closed, the last save is lost.

    Errors of the operating system are raised as OSErrors that name the folder, also for files that Orbax writes later.
    """

    def __init__(self, directory: Path, keep_last: int = 1, alone: bool = True):
        """Creates the folder, which Orbax opens at the first save or load.

        Args:
          directory: Folder of the checkpoints; created if missing.
          keep_last: Number of newest checkpoints to keep in addition to the best.
          alone: Whether this is the only run that the process saves.
        """
        self._directory = directory.resolve()
        self._directory.mkdir(parents=True, exist_ok=True)
        self._keep_last = keep_last
        self._alone = alone
        self._link: tempfile.TemporaryDirectory[str] | None = None
        self._writing: Future[None] | None = None  # the last save, if a thread writes it
        self._saves: list[Any] = []  # Orbax's responses, each of which holds open files until its result is taken
        self._host_copy = HostCopy()
        self._records: dict[int, RecordsDigest | None] = {}  # digests saved with the checkpoints, by step
        self._reads_back = not self.steps()  # whether the first save of the run must still be read back
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
        """Path of the folder without special characters, which Orbax would take for glob patterns.

        Raises:
          RunFolderError: If the path of the temporary folder has special characters too.
        """
        if not _is_special(self._directory):
            return self._directory
        self._link = tempfile.TemporaryDirectory(prefix="cnn_jax-")
        link = Path(self._link.name) / "checkpoints"
        if _is_special(link):
            raise RunFolderError(
                f"--workdir: checkpoints cannot be kept under {self._directory}, whose path has glob characters or is "
                f"not UTF-8, nor under TMPDIR={link.parent.parent}; rename one of them"
            )
        link.symlink_to(self._directory)
        return link

    def prepare(self, state: object | None) -> None:
        """Starts to import Orbax and to allocate memory, so that the first save need not wait for them.

        Call it when training begins. Earlier, while programs are traced, a thread that imports would slow tracing down.

        Args:
          state: State of the shapes that will be saved; None keeps no memory for copies.
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
        """Starts to save a state, and returns once it is copied. The first checkpoint of a run is read back.

        A background thread computes the digests and starts Orbax. The calling thread does so if the process saves
        several runs or the run has several processes, because Orbax counts a process's saves and synchronizes the
        processes' devices.

        Args:
          step: Number of the step; a step is saved again only with other records.
          state: Any tree of arrays.
          validation: "accuracy" and "epoch", which choose the best checkpoint; None is never the best.
          records: Digest of the run's records so far.

        Raises:
          OSError: If the previous checkpoint cannot be written; `wait` raises it for this one.
          RunFailed: If the first checkpoint cannot be read back.
          RunFolderError: If neither the folder nor the temporary folder has a path that Orbax can use.
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

        def write_and_wait() -> None:
            self._write(step, arrays, validation, records)
            self._finish_orbax()

        thread = ThreadPoolExecutor(1)
        self._writing = thread.submit(write_and_wait)
        thread.shutdown(wait=False)

    def _write(
        self,
        step: int,
        arrays: Mapping[str, np.ndarray],
        validation: Mapping[str, float] | None,
        records: RecordsDigest | None,
    ) -> None:
        """Starts Orbax; the arguments are those of `save`, with the state as a dictionary of immutable arrays."""
        kept, layout = packed(arrays)
        metadata = {"digests": digests(arrays), "packed": layout}
        with self._named_errors():
            response = self._checkpointer.save_async(
                step,
                kept,
                force=True,
                overwrite=step in self.steps(),
                metrics=dict(validation) if validation else None,
                custom_metadata=metadata | ({} if records is None else {"records": records.to_json()}),
            )
            self._saves.append(response)
        self._records[step] = records

    def load(self, step: int, like: T, partial: bool = False) -> T:
        """Reads one checkpoint.

        Args:
          step: Number of the step.
          like: Tree of arrays or shapes with the structure of the result.
          partial: Whether to read only the part of the saved state that `like` contains.

        Returns:
          The state, as NumPy arrays.

        Raises:
          DamagedCheckpointError: If it is missing, or readable but not what was saved.
          RunFolderError: If it cannot be read, or its arrays do not match `like`.
        """
        expected = {name: (leaf.shape, leaf.dtype) for name, leaf in _named_leaves(like).items()}
        arrays = self._read_whole(step, set(expected) if partial else None)
        found = {name: (leaf.shape, leaf.dtype) for name, leaf in arrays.items()}
        if differences := _differences(found, expected, partial):
            raise RunFolderError(
                f"--workdir: checkpoint {step} in {self._directory} is of another network or optimizer:\n  "
                + "\n  ".join(differences)
                + "\nthe data's classes, package versions or JAX settings have changed since; restore them, or name "
                "another --workdir; nothing was changed"
            )
        leaves = [arrays[name] for name in _named_leaves(like)]
        return jax.tree.unflatten(jax.tree.structure(like), leaves)

    def records_seen(self, step: int) -> RecordsDigest | None:
        """Returns the digest of the records saved with a checkpoint that `load` has read; None if it has none."""
        return self._records[step]

    def _read_whole(self, step: int, wanted: set[str] | None) -> dict[str, np.ndarray]:
        """Reads the wanted arrays, or all, by name; tries twice."""
        if step not in self.steps():
            raise DamagedCheckpointError(f"checkpoint {step} cannot be read: {self._directory} has none of this step")
        for is_last in (False, True):
            try:
                return self._read(step, wanted)
            except Exception as error:  # Orbax and TensorStore raise many types for missing or truncated files
                self._refuse_unreadable(step, error)
                if is_last:
                    raise DamagedCheckpointError(
                        f"checkpoint {step} cannot be read: {type(error).__name__}: {error}"
                        if not isinstance(error, DamagedCheckpointError)
                        else str(error)
                    ) from error
                self.close()  # the cause may have been temporary
        raise AssertionError("the last attempt returns or raises")

    def _read(self, step: int, wanted: set[str] | None) -> dict[str, np.ndarray]:
        described = self._checkpointer.metadata(step)
        metadata = described.custom_metadata or {}
        layout, expected = metadata.get("packed", {}), metadata.get("digests")
        stored = {
            name: np.broadcast_to(np.zeros((), leaf.dtype), leaf.shape)  # Orbax reads only the shape and type
            for name, leaf in described.metadata.items()
            if wanted is None or expected is None or name in wanted or name in layout
        }
        arrays = unpacked(
            {name: np.asarray(leaf) for name, leaf in self._checkpointer.load(step, stored).items()}, layout
        )
        if expected is None:  # an older version, with one digest for all arrays
            whole = metadata.get("digest") in (digests(arrays), whole_digest(arrays))
        else:
            whole = digests(arrays) == {name: expected.get(name) for name in arrays}
        if not whole:
            raise DamagedCheckpointError(f"checkpoint {step} is not what was saved: its digest differs")
        seen = metadata.get("records")
        self._records[step] = None if seen is None else parse(RecordsDigest, json.dumps(seen))
        return arrays

    def _refuse_unreadable(self, step: int, error: Exception) -> None:
        """Raises RunFolderError if the system refuses to read a file or memory runs out, which is not damage."""
        fault: BaseException | None = os_error(error, self._directory / str(step))
        if isinstance(fault, FileNotFoundError):
            fault = None  # a missing file is damage
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
                "command continues from it once it can be read"
            ) from error

    def steps(self) -> set[int]:
        """Returns the steps of all checkpoint folders; Orbax's own list may omit damaged ones."""
        return {int(entry.name) for entry in self._directory.iterdir() if entry.name.isdecimal()}

    def set_aside(self, step: int, error: DamagedCheckpointError) -> None:
        """Moves a damaged checkpoint out of the way, with a warning."""
        aside = self._directory.with_name("damaged_checkpoints")
        aside.mkdir(exist_ok=True)
        number = sum(1 for _ in aside.iterdir())
        target = aside / f"{step}-{number}"
        self.close()
        (self._directory / str(step)).rename(target)
        _log.warning("%s; set aside as %s, the previous one is used", error, target)

    def wait(self) -> None:
        """Waits until all saves are on disk, and reads the first checkpoint of a run back.

        Raises:
          OSError: If a checkpoint cannot be written.
          RunFailed: If the first checkpoint cannot be read back.
        """
        writing, self._writing = self._writing, None
        if writing is not None:
            writing.result()
        self._finish_orbax()

    def _finish_orbax(self) -> None:
        if "_checkpointer" not in self.__dict__:
            return
        with self._named_errors():
            while self._saves:
                self._saves.pop(0).result()
            self._checkpointer.wait()
        if not (self._records and self._reads_back):
            return
        step, self._reads_back = max(self._records), False
        try:
            self._read(step, None)
        except Exception as error:  # without checkpoints, training would be in vain
            raise RunFailed(
                f"checkpoint {step} was saved in {self._directory} but cannot be read back: "
                f"{explain(error) or f'{type(error).__name__}: {error}'}; name another --workdir, on a local disk"
            ) from error

    def close(self) -> None:
        """Waits as `wait` does, then releases Orbax and the memory for copies."""
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
        """Converts errors caused by the operating system to OSErrors that name the folder."""
        try:
            yield
        except Exception as error:
            self._reads_back = False
            if (refused := os_error(error, self._directory)) is None:
                raise
            raise refused from error


def _is_special(path: Path) -> bool:
    """Returns whether a path contains glob or control characters, or is not UTF-8."""
    return re.search(r"[*?:\[\]{}\\%#\x00-\x1f\x7f\ud800-\udfff]", str(path)) is not None


def _differences(found: _Shapes, expected: _Shapes, partial: bool) -> list[str]:
    """Lists the first few arrays without the expected shape and type."""
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
    """Imports Orbax, which takes a quarter of a second."""
    orbax_messages.silence()
    return importlib.import_module("orbax.checkpoint.experimental.v1")


def _named_leaves(tree: object) -> dict[str, np.ndarray | jax.Array]:
    """Returns the arrays of a tree by path, the form in which checkpoints store them."""
    return {jax.tree_util.keystr(path): leaf for path, leaf in jax.tree_util.tree_leaves_with_path(tree)}
