"""Data sets: arrays in memory, ready for the device, or batches read while it computes."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from cnn_jax.data.split import Split
from cnn_jax.run.metrics_log import TEST, VALIDATION

if TYPE_CHECKING:
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
