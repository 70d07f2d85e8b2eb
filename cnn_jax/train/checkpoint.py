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
          directory: of the checkpoints; made where it is missing.
          keep_last: newest checkpoints to keep beside the best.
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
          step: its number; a checkpoint of the same number stands already where nothing changed since.
          state: any tree of arrays.
          validation: "accuracy" and "epoch", by which the best is kept; None never is the best.
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
            custom_metadata={"digest": _digest(arrays), "packed": layout},
        )

    def load(self, step: int, like: T) -> T:
        """Reads one checkpoint.

        Args:
          step: its number.
          like: a tree of the same structure and shapes.

        Returns:
          The state, as NumPy arrays.

        Raises:
          DamagedCheckpointError: where it is missing, unreadable, of another structure, or altered.
        """
        try:
            kept = {name: np.asarray(leaf) for name, leaf in self._checkpointer.load(step).items()}
            metadata = self._checkpointer.metadata(step).custom_metadata or {}
            arrays = _unpacked(kept, metadata.get("packed", {}))
        except Exception as error:  # Orbax and TensorStore raise many kinds for files that are gone or cut short
            raise DamagedCheckpointError(
                f"checkpoint {step} cannot be read: {type(error).__name__}: {error}"
            ) from error
        if metadata.get("digest") != _digest(arrays):
            raise DamagedCheckpointError(f"checkpoint {step} is not what was saved: its digest differs")
        expected = {name: (leaf.shape, leaf.dtype) for name, leaf in _named_leaves(like).items()}
        if expected != {name: (leaf.shape, leaf.dtype) for name, leaf in arrays.items()}:
            raise DamagedCheckpointError(f"checkpoint {step} is of another network or optimizer")
        leaves = [arrays[name] for name in _named_leaves(like)]
        return jax.tree.unflatten(jax.tree.structure(like), leaves)

    def load_newest(self, like: T) -> T | None:
        """Reads the newest whole checkpoint; damaged ones are set aside with a warning.

        Args:
          like: a tree of the same structure and shapes.

        Returns:
          The state, as NumPy arrays; None where there is no checkpoint.
        """
        while (step := self._newest()) is not None:
            try:
                return self.load(step, like)
            except DamagedCheckpointError as error:
                self._set_aside(step, error)
        return None

    def _newest(self) -> int | None:
        # By the folders' names: a damaged checkpoint may be one that Orbax no longer lists.
        steps = [int(entry.name) for entry in self._directory.iterdir() if entry.name.isdigit()]
        return max(steps, default=None)

    def _set_aside(self, step: int, error: DamagedCheckpointError) -> None:
        aside = self._directory.with_name("damaged_checkpoints")
        aside.mkdir(exist_ok=True)
        number = sum(1 for _ in aside.iterdir())
        target = aside / f"{step}-{number}"
        self.close()
        (self._directory / str(step)).rename(target)
        _log.warning("%s; set aside as %s, the one before it is used", error, target)

    def close(self) -> None:
        """Waits until everything is saved."""
        self._loading.join()
        if (opened := self.__dict__.pop("_checkpointer", None)) is not None:
            opened.close()


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


def _digest(arrays: Mapping[str, np.ndarray]) -> str:
    """CRC-32 over names, types, shapes and contents."""
    crc = 0
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        crc = zlib.crc32(f"{name} {array.dtype} {array.shape}".encode(), crc)
        crc = zlib.crc32(array.reshape(-1).view(np.uint8).data, crc)
    return f"{crc:08x}"
