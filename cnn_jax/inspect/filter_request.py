"""The flags of the command `filter`, understood without JAX."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from absl import flags
from pydantic import TypeAdapter, ValidationError

from cnn_jax.config_parse import ConfigError
from cnn_jax.config_types import LARGEST_PIXELS, Padding, Size

FLAGS = ("image", "filter", "padding", "strides", "dilation", "flip", "grey", "target")


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


def define(values: flags.FlagValues) -> None:
    """Adds the flags that no other command has."""
    flags.DEFINE_string("image", None, "picture file to filter", values)
    flags.DEFINE_multi_string(
        "filter",
        None,
        "name of a filter (outline, sobel_left, ...; all: every named one), a matrix such as '1 0 -1; 2 0 -2; 1 0 -1', "
        "or a file of one; may be repeated",
        values,
    )
    flags.DEFINE_string(
        "padding", "SAME", "padding of the picture, as of a convolution: SAME, VALID, REFLECT, 2", values
    )
    flags.DEFINE_string("strides", "1", "pixels between windows: 2, or (2,1) for height and width", values)
    flags.DEFINE_string("dilation", "1", "pixels between the kernel's weights, likewise", values)
    flags.DEFINE_bool("flip", False, "turn the kernel by 180 degrees: convolution as mathematics defines it", values)
    flags.DEFINE_bool("grey", False, "make the picture grey first", values)


def read(values: Any, paths: Mapping[str, Path | None], parse_value: Callable[[str], Any]) -> FilterRequest:
    """Reads the flags.

    Args:
      values: As absl has parsed them.
      paths: The flags that are paths.
      parse_value: Reads a value of the command line.

    Returns:
      The request.

    Raises:
      ConfigError: With all that is wrong.
    """
    faults: list[str] = []
    expected: dict[str, tuple[Any, str]] = {
        "padding": (
            Padding,
            f"VALID, SAME, SAME_LOWER, TORCH, REFLECT, REPLICATE, CIRCULAR, an integer or pads up to {LARGEST_PIXELS}",
        ),
        "strides": (Size, f"an integer from 1 to {LARGEST_PIXELS}, or a pair of them"),
        "dilation": (Size, f"an integer from 1 to {LARGEST_PIXELS}, or a pair of them"),
    }
    given: dict[str, Any] = {}
    for name, (kind, words) in expected.items():
        text = values[name].value
        try:
            given[name] = TypeAdapter(kind).validate_python(parse_value(text), strict=True)
        except ValidationError:
            faults.append(f"--{name}: got {text!r}, expected {words}")
    if faults:
        raise ConfigError(faults)
    image = paths["image"]
    assert image is not None  # it is required
    return FilterRequest(
        image=image,
        filters=tuple(values["filter"].value),
        sliding=Sliding(**given, flip=values.flip),
        grey=values.grey,
        target=paths["target"] or Path("runs") / f"filter-{image.stem}",
    )
