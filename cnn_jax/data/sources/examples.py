"""Encoded pictures or images with their labels, which are read one by one."""

from __future__ import annotations

import dataclasses
from typing import Any, NamedTuple, Protocol

import numpy as np
from jaxtyping import Float, Int, Int32

from cnn_jax.data.split import Split


class Example(Protocol):
    """One example: an encoded picture or an image's pixels, and its class number."""

    @property
    def picture(self) -> Any:
        """An encoded picture, or pixels."""

    @property
    def label(self) -> int:
        """Class number."""


class Labelled(NamedTuple):
    """One example.

    Attributes:
      picture: An encoded picture, or an image's pixels.
      label: Class number.
    """

    picture: Any
    label: int


class Examples(Protocol):
    """Examples of one split, read at random; may be sent to other processes.

    Attributes:
      name: The data set and the split, for errors.
    """

    name: str

    def __len__(self) -> int:
        """Number of examples."""

    def __getitem__(self, number: int) -> Example:
        """Reads one example.

        Raises:
          UnreadableRecordError: If it is damaged or cannot be read.
        """

    def place(self, number: int) -> str:
        """Names an example and its file, for errors."""

    def groups(self) -> Int[np.ndarray, " n"] | None:
        """Numbers of the groups that examples are read in, rising; None where each is read by itself."""


class PixelStatistics(NamedTuple):
    """Mean and covariance of the training pixels, 0 to 255."""

    mean: Float[np.ndarray, " c"]
    covariance: Float[np.ndarray, "c c"]


@dataclasses.dataclass(frozen=True)
class PictureSet:
    """A data set of encoded pictures.

    Attributes:
      train: Training examples.
      validation: Validation examples; None where validation images are to be held out, or not wanted.
      test: Test examples.
      class_names: In label order.
      checksum: SHA-256 (hex) of its files, its splits and its class names.
      warnings: What is legal and yet perhaps not meant, in words.
      statistics: Statistics of the training pixels, if they are known.
      files_checksum: Checksum of files of records, if there are such.
    """

    train: Examples
    validation: Examples | None
    test: Examples
    class_names: tuple[str, ...]
    checksum: str
    warnings: tuple[str, ...] = ()
    statistics: PixelStatistics | None = None
    files_checksum: str | None = None


class HeldImages:
    """Images that lie in memory."""

    def __init__(self, split: Split, name: str, groups: Int32[np.ndarray, " n"] | None = None):
        """Takes images.

        Args:
          split: The images and labels.
          name: Name of the split, for errors.
          groups: As `Examples.groups`.
        """
        self.name, self._split, self._groups = name, split, groups

    def __len__(self) -> int:
        return len(self._split)

    def __getitem__(self, number: int) -> Labelled:
        """Gives an image of the memory."""
        return Labelled(self._split.images[number], int(self._split.labels[number]))

    def place(self, number: int) -> str:
        """Names an image, for errors."""
        return f"image {number} of {self.name}"

    def groups(self) -> Int[np.ndarray, " n"] | None:
        """Gives the groups that it was made with."""
        return self._groups
