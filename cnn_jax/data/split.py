"""Images in memory, with their labels."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping

import numpy as np
from jaxtyping import Float32, Int, Int32, UInt8

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


def membership_checksum(numbers: Mapping[str, Int[np.ndarray, " n"]]) -> str:
    """Computes a checksum of which images are in which split.

    Args:
      numbers: Numbers of the images in their source, by the name of the split.

    Returns:
      SHA-256 in hexadecimal digits.
    """
    digest = hashlib.sha256()
    for name, members in numbers.items():
        digest.update(f"{name} {len(members)}".encode())
        digest.update(np.ascontiguousarray(members, "<i8").data)
    return digest.hexdigest()
