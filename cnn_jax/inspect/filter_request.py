"""Request of `filter`, without JAX."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from cnn_jax.config.types import Padding, Size


@dataclasses.dataclass(frozen=True)
class Sliding:
    """How a kernel moves over a picture; the arguments of `ops.conv2d`, and whether the kernel is turned first."""

    padding: Padding = "SAME"
    strides: Size = 1
    dilation: Size = 1
    flip: bool = False


@dataclasses.dataclass(frozen=True)
class FilterRequest:
    """Request of the command line.

    Attributes:
      image: Picture file.
      filters: Names, matrices and files of matrices, as `filters.read_filters` takes them.
      sliding: How each kernel moves.
      grey: Whether the picture is made grey first.
      target: Folder of the pictures.
    """

    image: Path
    filters: tuple[str, ...]
    sliding: Sliding
    grey: bool
    target: Path
