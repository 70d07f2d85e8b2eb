"""The rows of one batch on the host, and where they lie in memory that several processes share."""

from __future__ import annotations

import dataclasses
import math
import mmap
from typing import NamedTuple

import numpy as np
from jaxtyping import Float32, Int32, UInt8


class HostBatch(NamedTuple):
    """The rows of one batch that this process has.

    Attributes:
      images: Pixels, 0 to 255.
      labels: Class numbers.
      weights: 1 for an example, 0 for what fills up an epoch's last batch.
    """

    images: UInt8[np.ndarray, "b h w c"] | Float32[np.ndarray, "b h w c"]
    labels: Int32[np.ndarray, " b"]
    weights: Float32[np.ndarray, " b"]


@dataclasses.dataclass(frozen=True)
class BatchLayout:
    """Shapes of a batch, and its size in bytes.

    Attributes:
      rows: Number of rows.
      image_shape: Height, width and channels of an image.
      dtype: Type of the pixels, "uint8" or "float32".
    """

    rows: int
    image_shape: tuple[int, int, int]
    dtype: str = "uint8"

    @property
    def size(self) -> int:
        """Bytes of memory that one batch takes, a multiple of 64."""
        image = math.prod(self.image_shape) * np.dtype(self.dtype).itemsize
        return -(-self.rows * (image + 8) // 64) * 64

    def view(self, memory: mmap.mmap, number: int) -> HostBatch:
        """Views a part of memory as a batch.

        Args:
          memory: Room for several batches, one after the other.
          number: Position of the batch in it, from 0 on.

        Returns:
          Arrays without a copy: what is written into them is written into the memory.
        """
        start = number * self.size
        # The 4-byte numbers first, as they must begin at a multiple of 4.
        labels = np.ndarray(self.rows, np.int32, memory, start)
        weights = np.ndarray(self.rows, np.float32, memory, start + 4 * self.rows)
        images = np.ndarray((self.rows, *self.image_shape), self.dtype, memory, start + 8 * self.rows)
        return HostBatch(images, labels, weights)
