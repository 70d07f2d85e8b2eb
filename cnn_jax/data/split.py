"""Images in memory, with their labels."""

from __future__ import annotations

import dataclasses

import numpy as np
from jaxtyping import Float32, Int32, UInt8

Images = UInt8[np.ndarray, "n h w c"] | Float32[np.ndarray, "n h w c"]  # pixels 0 to 255


@dataclasses.dataclass(frozen=True)
class Split:
    """Images and their labels, in step.

    Attributes:
      images: Pixels 0 to 255, channels last; float32 where they have more than 8 bits.
      labels: Class numbers, 0 to num_classes - 1.
      files: The images' files, where each has one of its own; for messages.
    """

    images: Images
    labels: Int32[np.ndarray, " n"]
    files: tuple[str, ...] | None = None

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(height, width, channels) in pixels."""
        height, width, channels = self.images.shape[1:]
        return height, width, channels
