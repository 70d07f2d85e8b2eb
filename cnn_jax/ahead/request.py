"""The flags of the verb `compile`, understood without JAX."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import Any

from absl import flags

from cnn_jax import user_path
from cnn_jax.ahead import topology
from cnn_jax.ahead.topology import Topology
from cnn_jax.config_parse import ConfigError

FLAGS = ("topology", "batch_per_chip", "largest_batch", "image_shape", "classes", "json")
_MOST_CLASSES = 10**6


@dataclasses.dataclass(frozen=True)
class CompileRequest:
    """Request of the command line.

    Attributes:
      topology: the chips.
      batch_per_chip: images; None spreads the config's batches over all chips.
      largest_batch: whether the largest batch that fits is sought.
      image_shape, classes: Shape of the images and number of classes, where the config does not tell.
      json: file for the figures; None writes none.
    """

    topology: Topology
    batch_per_chip: int | None
    largest_batch: bool
    image_shape: tuple[int, int, int] | None
    classes: int | None
    json: Path | None


def define(values: flags.FlagValues) -> None:
    """Adds the flags."""
    flags.DEFINE_string("topology", None, "chips to compile for: v5e:4x4, v4:4x4x4, v5e:1x1, cpu, gpu", values)
    flags.DEFINE_integer(
        "batch_per_chip", None, "images of one chip in both steps; default: the config's, shared out", 1, None, values
    )
    flags.DEFINE_bool("largest_batch", False, "also seek the largest batch of a chip that fits", values)
    flags.DEFINE_string("image_shape", None, "HEIGHTxWIDTHxCHANNELS, where the config does not tell", values)
    flags.DEFINE_string("json", None, "also write the figures to this file", values)


def read(values: Any) -> CompileRequest:
    """Reads the flags.

    Args:
      values: as absl has parsed them.

    Returns:
      The request.

    Raises:
      ConfigError: with all that is wrong.
    """
    faults: list[str] = []
    chips, shape = None, None
    try:
        chips = topology.parse(values.topology or "")
    except ConfigError as error:
        faults += error.faults
    if values.image_shape is not None:
        if re.fullmatch(r"[1-9]\d{0,3}x[1-9]\d{0,3}x[13]", values.image_shape):
            height, width, channels = map(int, values.image_shape.split("x"))
            shape = height, width, channels
        else:
            faults.append(
                f"--image_shape: got {values.image_shape!r}, expected HEIGHTxWIDTHxCHANNELS with 1 or 3 channels, "
                "such as 28x28x1"
            )
    classes = None
    if values.classes is not None:
        count = values.classes[-1]
        classes = int(count) if count.isascii() and count.isdecimal() and len(count) < 8 else 0
        if not 2 <= classes <= _MOST_CLASSES:
            faults.append(f"--classes: got {count!r}, expected how many there are, 2 to {_MOST_CLASSES}")
    file = user_path.expand(values.json) if values.json and not user_path.fault_of(values.json) else None
    if file is not None and not file.parent.is_dir():
        faults.append(f"--json: got {values.json!r}, and there is no folder {str(file.parent)!r}")
    if faults or chips is None:
        raise ConfigError(faults)
    return CompileRequest(chips, values.batch_per_chip, values.largest_batch, shape, classes, file)
