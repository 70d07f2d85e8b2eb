"""Encoded pictures or images with their labels, which are read one by one."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int, Int32, Shaped

from cnn_jax.data.errors import DataError, UnreadableRecordError
from cnn_jax.data.host.crops import View
from cnn_jax.data.host.picture import UnreadablePictureError
from cnn_jax.data.sources import memory
from cnn_jax.data.split import Split
from cnn_jax.run import machine

_NAMED = 5  # unreadable pictures that an error names
_AT_ONCE = 64  # pictures that a thread decodes one after the other


class Labelled(NamedTuple):
    """One example.

    Attributes:
      picture: An encoded picture, or an image's pixels.
      label: Class number.
    """

    picture: Any
    label: int


class Examples:
    """Examples of one split, read at random; may be sent to other processes.

    Attributes:
      name: The data set and the split, for errors.
    """

    name: str

    def __len__(self) -> int:
        """Number of examples."""
        raise NotImplementedError

    def __getitem__(self, number: int) -> Labelled:
        """Reads one example.

        Raises:
          UnreadableRecordError: If it is damaged, cannot be read, or is no picture with a label.
        """
        raise NotImplementedError

    def place(self, number: int) -> str:
        """Names an example and its file, for errors."""
        raise NotImplementedError

    def groups(self) -> Int[np.ndarray, " n"] | None:
        """Numbers of the groups that examples are read in, rising; None where each is read by itself."""
        return None


class PixelStatistics(NamedTuple):
    """Mean and covariance of the training pixels, 0 to 255."""

    mean: Float[np.ndarray, " c"]
    covariance: Float[np.ndarray, "c c"]

    @classmethod
    def of(cls, parts: Iterable[Shaped[np.ndarray, "n c"]]) -> PixelStatistics:
        """Computes them in float64, in which whole numbers below 2^53 add up exactly.

        Args:
          parts: All pixels, in parts that spare the memory.
        """
        count, total, products = 0, np.zeros(()), np.zeros(())
        for part in parts:
            pixels = part.astype(np.float64)
            count, total, products = count + len(pixels), total + pixels.sum(axis=0), products + pixels.T @ pixels
        mean = total / count
        return cls(mean, products / count - np.outer(mean, mean))


# More than ten fields: whatever the sources know.
@dataclasses.dataclass(frozen=True)
class Source:
    """A data set before any images are held out.

    Attributes:
      train: Training images.
      validation: Validation images that it has as such; None for none.
      test: Test images.
      class_names: In label order.
      checksum: SHA-256 (hex) of the images or their files, the splits and the class names.
      warnings: Sentences about what was passed over, and about data that are legal but look like a mistake.
      statistics: Statistics of the training pixels, if they are known.
      files_checksum: Checksum of files of records, if there are such.
      memory: Where the images lie while the network trains.
      placement: The same in words, with the reason; None where there is no choice.
      views: Views of training examples and of others; None for images as they are.
    """

    train: Split | Examples
    validation: Split | Examples | None
    test: Split | Examples
    class_names: tuple[str, ...]
    checksum: str = ""
    warnings: tuple[str, ...] = ()
    statistics: PixelStatistics | None = None
    files_checksum: str | None = None
    memory: memory.Memory = "device"
    placement: str | None = None
    views: tuple[View, View] | None = None

    @property
    def splits(self) -> dict[str, Any]:
        """The "train", "validation" and "test" images, as the attributes."""
        return {"train": self.train, "validation": self.validation, "test": self.test}

    def with_splits(self, splits: Mapping[str, Any]) -> Source:
        """Gives the same source with other images, by the names of `splits`."""
        return dataclasses.replace(self, **splits)


def decode(examples: Examples, numbers: Int[np.ndarray, " n"], view: View, field: str = "config.data") -> Split:
    """Reads and decodes examples into memory, by all cores.

    Args:
      examples: Where they are.
      numbers: Their numbers.
      view: Resizing and cropping of each picture, without random draws.
      field: The config's name for them, for errors.

    Raises:
      DataError: If pictures are damaged, or the images do not fit into the memory that is left.
    """
    shape = len(numbers), *view.image_shape
    memory.require(math.prod(shape), f"{field}: {examples.name}", "set config.data.memory=stream")
    images, labels = memory.empty(shape), np.zeros(len(numbers), np.int32)
    faults: list[str] = []
    no_draws = np.random.default_rng(0)

    def decode_some(start: int) -> None:
        for row in range(start, min(start + _AT_ONCE, len(numbers))):
            number = int(numbers[row])
            try:
                example = examples[number]
                labels[row], images[row] = example.label, view(example.picture, no_draws)
            except UnreadableRecordError as error:
                faults.append(str(error))
            except UnreadablePictureError as error:
                faults.append(f"{examples.place(number)} cannot be read as a picture: {error}")

    with ThreadPoolExecutor(len(machine.available_cores())) as threads:
        list(threads.map(decode_some, range(0, len(numbers), _AT_ONCE)))
    if faults:
        more = f"\nand {len(faults) - _NAMED} more" if len(faults) > _NAMED else ""
        raise DataError(f"{field}: " + "\n".join(sorted(faults)[:_NAMED]) + more)
    return Split(images, labels)


class HeldImages(Examples):
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
        return Labelled(self._split.images[number], int(self._split.labels[number]))

    def place(self, number: int) -> str:
        return f"image {number} of {self.name}"

    def groups(self) -> Int[np.ndarray, " n"] | None:
        return self._groups
