"""Data sets: arrays in memory, ready for the device, or batches read while it computes."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Int

from cnn_jax.data.split import Split
from cnn_jax.run.metrics_log import TEST, VALIDATION

if TYPE_CHECKING:
    from cnn_jax.data.sources.examples import Source
    from cnn_jax.data.sources.stream import Stream


@dataclasses.dataclass(frozen=True)
class Dataset:
    """The splits of one data set.

    Attributes:
      name: The config's name of the source.
      train: Training images, without the validation images.
      validation: Held out by data.validation_fraction; None where that is 0.
      test: Only ever measured, never chosen by.
      class_names: In label order.
      checksum: SHA-256 (hex) over the source's train and test images and labels, before any split.
      warnings: Sentences about data that are legal but look like a mistake.
      split_checksum: SHA-256 (hex) of which of them are in which split, and of how test images are moved.
      files_checksum: Checksum of the files of records by `records.files_checksum`; None for images in memory.
      placement: Where the images lie while the network trains, and why, in words; None where there is no choice.
    """

    name: str
    train: Split | Stream
    validation: Split | Stream | None
    test: Split | Stream
    class_names: tuple[str, ...]
    checksum: str
    warnings: tuple[str, ...] = ()
    split_checksum: str | None = None
    files_checksum: str | None = None
    placement: str | None = None

    @classmethod
    def of(
        cls, name: str, source: Source, splits: Mapping[str, Any], numbers: Mapping[str, Int[np.ndarray, " n"]]
    ) -> Dataset:
        """Makes a data set of the splits of a source.

        Args:
          name: The config's name of the source.
          source: Source of the images.
          splits: "train", "validation" and "test" images, or their streams.
          numbers: Numbers of the images in the source, by the name of the split; and what else decides on the splits.
        """
        return cls(
            name,
            splits["train"],
            splits["validation"],
            splits["test"],
            source.class_names,
            source.checksum,
            source.warnings,
            _membership_checksum(numbers),
            source.files_checksum,
            source.placement,
        )

    @property
    def image_shape(self) -> tuple[int, int, int]:
        return self.train.image_shape

    @property
    def dtype(self) -> str:
        """Type of the pixels, "uint8" or "float32"."""
        return self.train.images.dtype.name if isinstance(self.train, Split) else self.train.dtype

    @property
    def measured(self) -> dict[str, Split | Stream]:
        """The splits that are measured while training, by name, the test split last."""
        held_out = {} if self.validation is None else {VALIDATION: self.validation}
        return held_out | {TEST: self.test}

    @property
    def num_classes(self) -> int:
        return len(self.class_names)


def _membership_checksum(numbers: Mapping[str, Int[np.ndarray, " n"]]) -> str:
    """Computes a checksum of which images are in which split."""
    digest = hashlib.sha256()
    for name, members in numbers.items():
        digest.update(f"{name} {len(members)}".encode())
        digest.update(np.ascontiguousarray(members, "<i8").data)
    return digest.hexdigest()
