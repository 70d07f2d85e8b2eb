"""Request of `filter`, without JAX."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from cnn_jax.config.types import Padding, Size


@dataclasses.dataclass(frozen=True)
class Sliding:
    """Arguments of `ops.conv2d`, and whether to rotate the kernel first."""

    padding: Padding = "SAME"
    strides: Size = 1
    dilation: Size = 1
    flip: bool = False


@dataclasses.dataclass(frozen=True)
class FilterRequest:
    """Request of the command line.

    Attributes:
      image: Picture file.
      filters: Names, matrices and files of matrices, as for `filters.read_filters`.
      sliding: Padding, strides and dilation of each kernel.
      grey: Whether to convert the picture to grey first.
      target: Folder for the pictures.
    """

    image: Path
    filters: tuple[str, ...]
    sliding: Sliding
    grey: bool
    target: Path
