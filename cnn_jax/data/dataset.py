"""What every source of images becomes: arrays in memory, ready for the device, or batches read while it computes."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Int32, UInt8

if TYPE_CHECKING:
    from cnn_jax.data.stream import Stream


@dataclasses.dataclass(frozen=True)
class Split:
    """Images and their labels, in step.

    Attributes:
      images: pixels 0 to 255, channels last.
      labels: class numbers, 0 to num_classes - 1.
    """

    images: UInt8[np.ndarray, "n h w c"]
    labels: Int32[np.ndarray, " n"]

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(height, width, channels) in pixels."""
        height, width, channels = self.images.shape[1:]
        return height, width, channels


@dataclasses.dataclass(frozen=True)
class Dataset:
    """The splits of one data set.

    Attributes:
      name: the config's name of the source.
      train: what is learned from, the validation images taken out.
      validation: held out by data.validation_fraction; None where that is 0.
      test: only ever measured, never chosen by.
      class_names: in label order.
      checksum: SHA-256 (hex) over the source's train and test images and labels, before any split.
    """

    name: str
    train: Split | Stream
    validation: Split | Stream | None
    test: Split | Stream
    class_names: tuple[str, ...]
    checksum: str

    @property
    def image_shape(self) -> tuple[int, int, int]:
        return self.train.image_shape

    @property
    def num_classes(self) -> int:
        return len(self.class_names)


class DataError(Exception):
    """An input that cannot be used; the message names the file, what is wrong, and what helps."""
