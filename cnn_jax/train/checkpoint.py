"""Checkpoints by Orbax: asynchronous, verified when read, the newest few and the best kept."""

from __future__ import annotations

import functools
import importlib
import logging
import math
import threading
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import jax
import numpy as np

if TYPE_CHECKING:
    import orbax.checkpoint.experimental.v1 as ocp

T = TypeVar("T")
_Layout = Mapping[str, Sequence[tuple[str, Sequence[int]]]]  # by type: names and shapes, in their order

_SMALL = 2**16  # values of an array that is saved with others: Orbax takes a millisecond for each, however small

_log = logging.getLogger(__name__)


class DamagedCheckpointError(Exception):
    """A checkpoint that cannot be read, or whose content is not what was saved."""


def _rank(metrics: Mapping[str, float]) -> tuple[float, float]:
    """Orders checkpoints for keeping: the most accurate, of equals the earliest."""
    return metrics["accuracy"], -metrics["epoch"]


class Checkpoints:
    """The checkpoints of one run; close it, or the last save is lost."""

    def __init__(self, directory: Path, keep_last: int = 1):
        """Names the folder; Orbax is loaded meanwhile, and opens it when there is something to save or to read.

        Args:
          directory: Folder of the checkpoints; created where it is missing.
          keep_last: Number of newest checkpoints to keep beside the best.
        """
        self._directory = directory.resolve()
        self._directory.mkdir(parents=True, exist_ok=True)
        self._keep_last = keep_last
        self._loading = threading.Thread(target=_orbax)
        self._loading.start()

    @functools.cached_property
    def _checkpointer(self) -> ocp.training.Checkpointer:
        ocp = _orbax()
        context, policies = ocp.Context(), ocp.training.preservation_policies
        context.array.saving.use_compression = False  # weights hardly shrink
        context.pytree.loading.partial_load = True
        return ocp.training.Checkpointer(
            self._directory,
            preservation_policy=policies.AnyPreservationPolicy(
                [
                    policies.LatestN(self._keep_last),
                    policies.BestN(get_metric_fn=_rank, n=1, keep_checkpoints_without_metrics=False),
                ]
            ),
            cleanup_tmp_directories=True,
            context=context,
        )

    def save(self, step: int, state: object, validation: Mapping[str, float] | None = None) -> None:
        """Starts to save a state, and returns once it is copied.

        Args:
          step: Number of the step; nothing is saved where it has a checkpoint already.
          state: Any tree of arrays.
          validation: "accuracy" and "epoch", by which the best is kept; None is never the best.
        """
        if any(checkpoint.step == step for checkpoint in self._checkpointer.checkpoints):
            return
        # A true copy: the training goes on in the same buffers while this is written.
        arrays = {name: np.array(leaf) for name, leaf in _named_leaves(state).items()}
        kept, layout = _packed(arrays)
        self._checkpointer.save_async(
            step,
            kept,
            force=True,
            metrics=dict(validation) if validation else None,
            custom_metadata={"digests": _digests(arrays), "packed": layout},
        )

    def load(self, step: int, like: T, partial: bool = False) -> T:
        """Reads one checkpoint.

        Args:
          step: Number of the step.
          like: Tree of arrays or shapes of the structure wanted.
          partial: Whether `like` is a part of what was saved; the rest is not read.

        Returns:
          The state, as NumPy arrays.

        Raises:
          DamagedCheckpointError: Where it is missing, unreadable, of another structure, or altered.
        """
        expected = {name: (leaf.shape, leaf.dtype) for name, leaf in _named_leaves(like).items()}
        try:
            arrays, digests = self._read(step, set(expected) if partial else None)
        except Exception as error:  # Orbax and TensorStore raise many kinds for files that are gone or cut short
            raise DamagedCheckpointError(
                f"checkpoint {step} cannot be read: {type(error).__name__}: {error}"
            ) from error
        if digests != _digests(arrays) and digests != _whole_digest(arrays):
            raise DamagedCheckpointError(f"checkpoint {step} is not what was saved: its digest differs")
        found = {name: (leaf.shape, leaf.dtype) for name, leaf in arrays.items()}
        if expected != ({name: found.get(name) for name in expected} if partial else found):
            raise DamagedCheckpointError(f"checkpoint {step} is of another network or optimizer")
        leaves = [arrays[name] for name in _named_leaves(like)]
        return jax.tree.unflatten(jax.tree.structure(like), leaves)

    def _read(self, step: int, wanted: set[str] | None) -> tuple[dict[str, np.ndarray], Any]:
        """Reads arrays by name, those wanted or all, and the digests that they should have."""
        described = self._checkpointer.metadata(step)
        metadata = described.custom_metadata or {}
        layout, digests = metadata.get("packed", {}), metadata.get("digests")
        stored = {
            name: np.broadcast_to(np.zeros((), leaf.dtype), leaf.shape)  # what Orbax takes for a shape
            for name, leaf in described.metadata.items()
            if wanted is None or digests is None or name in wanted or name in layout
        }
        arrays = _unpacked(
            {name: np.asarray(leaf) for name, leaf in self._checkpointer.load(step, stored).items()}, layout
        )
        if digests is None:  # of before arrays had digests of their own
            return arrays, metadata.get("digest")
        return arrays, {name: digests.get(name) for name in arrays}

    def load_newest(self, like: T) -> T | None:
        """Reads the newest whole checkpoint; damaged ones are set aside with a warning.

        Args:
          like: Tree of the same structure and shapes.

        Returns:
          The state, as NumPy arrays; None where there is no checkpoint.
        """
        found = load_newest_common([self], like)
        return None if found is None else found[0]

    def steps(self) -> set[int]:
        """Lists the steps of all checkpoints, by their folders: a damaged one may be missing from Orbax's list."""
        return {int(entry.name) for entry in self._directory.iterdir() if entry.name.isdigit()}

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
        """Waits until what has been given to `save` is on the disk."""
        if "_checkpointer" in self.__dict__:
            self._checkpointer.wait()

    def close(self) -> None:
        """Waits until everything is saved."""
        self._loading.join()
        if (opened := self.__dict__.pop("_checkpointer", None)) is not None:
            opened.close()


def load_newest_common(group: Sequence[Checkpoints], like: T) -> list[T] | None:
    """Reads the newest step of which all runs of a group have a whole checkpoint; damaged ones are set aside.

    Args:
      group: Checkpoints of each run.
      like: Tree of the structure and shapes of one run's state.

    Returns:
      The state of each run, as NumPy arrays; None where they have no step in common.
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
            return states
    return None


def _orbax() -> Any:
    """Imports Orbax, which takes a quarter of a second: programs can be compiled meanwhile."""
    return importlib.import_module("orbax.checkpoint.experimental.v1")


def _named_leaves(tree: object) -> dict[str, np.ndarray | jax.Array]:
    """The arrays of a tree by their paths, so that a checkpoint is a plain dictionary."""
    return {jax.tree_util.keystr(path): leaf for path, leaf in jax.tree_util.tree_leaves_with_path(tree)}


def _packed(arrays: Mapping[str, np.ndarray]) -> tuple[dict[str, np.ndarray], _Layout]:
    """The same with all small arrays of a type as one, under the type's name; and where to find them there."""
    kept: dict[str, np.ndarray] = {}
    small: dict[str, list[str]] = {}
    for name, array in arrays.items():
        if array.size < _SMALL:
            small.setdefault(array.dtype.name, []).append(name)
        else:
            kept[name] = array
    for dtype, names in small.items():
        kept[dtype] = np.concatenate([arrays[name].reshape(-1) for name in names])
    return kept, {dtype: [(name, list(arrays[name].shape)) for name in names] for dtype, names in small.items()}


def _unpacked(kept: Mapping[str, np.ndarray], layout: _Layout) -> dict[str, np.ndarray]:
    """What `_packed` was given."""
    arrays = {name: array for name, array in kept.items() if name not in layout}
    for dtype, places in layout.items():
        start = 0
        for name, shape in places:
            end = start + math.prod(shape)
            arrays[name] = kept[dtype][start:end].reshape(shape)
            start = end
    return arrays


def _digests(arrays: Mapping[str, np.ndarray]) -> dict[str, str]:
    """Computes the CRC-32 of each array's name, type, shape and content."""
    return {name: f"{_crc(name, array, 0):08x}" for name, array in arrays.items()}


def _whole_digest(arrays: Mapping[str, np.ndarray]) -> str:
    """Computes the CRC-32 over all arrays, as checkpoints of earlier versions have it."""
    return f"{functools.reduce(lambda crc, name: _crc(name, arrays[name], crc), sorted(arrays), 0):08x}"


def _crc(name: str, array: np.ndarray, crc: int) -> int:
    array = np.ascontiguousarray(array)
    crc = zlib.crc32(f"{name} {array.dtype} {array.shape}".encode(), crc)
    return zlib.crc32(array.reshape(-1).view(np.uint8).data, crc)
