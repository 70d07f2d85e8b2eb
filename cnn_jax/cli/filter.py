"""`launch.py filter`: applies image filters to a picture."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from cnn_jax.cli.command import Arguments, Command, Flag
from cnn_jax.cli.output import refuse, say
from cnn_jax.cli.values import parse_value
from cnn_jax.config.parsing import ConfigError
from cnn_jax.config.types import LARGEST_PIXELS, Padding, Size
from cnn_jax.inspect.filter_request import FilterRequest, Sliding
from cnn_jax.run.exit_codes import DONE

_PIXELS = f"an integer from 1 to {LARGEST_PIXELS}, or a pair of them"
_SLIDING: dict[str, tuple[Any, str]] = {
    "padding": (
        Padding,
        f"VALID, SAME, SAME_LOWER, TORCH, REFLECT, REPLICATE, CIRCULAR, an integer or pads up to {LARGEST_PIXELS}",
    ),
    "strides": (Size, _PIXELS),
    "dilation": (Size, _PIXELS),
}


def read(arguments: Arguments) -> FilterRequest:
    """Reads the flags."""
    faults, given = [], {}
    for name, (kind, words) in _SLIDING.items():
        try:
            given[name] = TypeAdapter(kind).validate_python(parse_value(arguments[name]), strict=True)
        except ValidationError:
            faults.append(f"--{name}: got {arguments[name]!r}, expected {words}")
    if faults:
        raise ConfigError(faults)
    return FilterRequest(
        image=arguments["image"],
        filters=tuple(arguments["filter"]),
        sliding=Sliding(**given, flip=arguments["flip"]),
        grey=arguments["grey"],
        target=arguments["target"] or Path("runs") / f"filter-{arguments['image'].stem}",
    )


def run(request: FilterRequest) -> int:
    """Runs the command."""
    from cnn_jax.inspect import filter_pictures

    try:
        files = filter_pictures.write(request)
    except ConfigError as error:
        return refuse(error)
    for file in files:
        say(str(file))
    return DONE


COMMAND = Command(
    name="filter",
    help="apply image filters to a picture, and draw what they respond to",
    flags=(
        Flag("image", "picture file to filter", required=True, path="read"),
        Flag(
            "filter",
            "name of a filter (outline, sobel_left, ...; all for every named filter), a matrix such as "
            "'1 0 -1; 2 0 -2; 1 0 -1', or a file with a matrix; may be repeated",
            repeated=True,
            required=True,
        ),
        Flag("padding", "padding of the picture, as for a convolution: SAME, VALID, REFLECT, 2", "SAME"),
        Flag("strides", "pixels between windows: 2, or (2,1) for height and width", "1"),
        Flag("dilation", "pixels between the kernel's weights, likewise", "1"),
        Flag("flip", "rotate the kernel by 180 degrees: convolution in the mathematical sense", False, bool),
        Flag("grey", "convert the picture to grayscale first", False, bool),
        Flag("target", "folder of the pictures; default: runs/filter-<image>", path="written"),
    ),
    read=read,
    run=run,
)
