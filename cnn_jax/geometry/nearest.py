"""Suggests the nearest settings that work for a network whose layers do not fit its images."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from pydantic import ValidationError

from cnn_jax.config import Model as ModelConfig
from cnn_jax.ops import GeometryError

_LARGEST_FACTOR = 8  # images are tried up to this multiple of their size,
_LARGEST_SMALL = 64  # and at least up to this many pixels more
_ONE_BY_ONE = 8  # this many values below a size are tried one by one, the rest by bisection
_SIZES = ("kernel_size", "window", "strides", "dilation")
_COMMON_GROUPS = sorted((part * 2**power for power in range(17) for part in (1, 3)), reverse=True)

ImageShape = tuple[int, int, int]
Trace = Callable[[ModelConfig, ImageShape], Any]


def suggest_fixes(model_config: ModelConfig, image_shape: ImageShape, trace: Trace) -> Iterator[str]:
    """Finds single fields, and the image size, whose change makes every layer fit.

    Args:
      model_config: Config of a network that does not fit the images.
      image_shape: (height, width, channels) of an image in pixels.
      trace: Raises a GeometryError if a config does not fit an image shape.

    Yields:
      The nearest value of each such field, as a command-line flag, then the nearest image size.
    """

    def works(config: ModelConfig, shape: ImageShape) -> bool:
        try:
            trace(config, shape)
        except GeometryError:
            return False
        return True

    for field in type(model_config).model_fields:

        def works_with(value: Any, field: str = field) -> bool:
            try:
                changed = type(model_config).model_validate(model_config.model_dump() | {field: value})
            except ValidationError:
                return False
            return works(changed, image_shape)

        value = getattr(model_config, field)
        if value is not None and field.endswith(_SIZES):
            found = _largest_that_works(value, works_with)
            if found is None and field.endswith("strides"):
                found = next(filter(works_with, (_raised(value, least) for least in range(2, 5))), None)
        else:
            found = next(filter(works_with, _alternatives(field, value)), None)
        if found is not None:
            yield f"config.model.{field}={found}"
    height, width, channels = image_shape

    def works_at(change: int) -> bool:
        return works(model_config, (height + change, width + change, channels))

    for direction, limit in (
        (1, max((_LARGEST_FACTOR - 1) * max(height, width), _LARGEST_SMALL)),
        (-1, min(height, width) - 1),
    ):
        failed = 0
        for distance in _doubled(limit):
            if works_at(direction * distance):
                change = _bisect(direction * distance, direction * failed, works_at)
                yield f"images of {height + change}x{width + change}"
                return
            failed = distance


def _doubled(limit: int) -> Iterator[int]:
    distance = 1
    while distance < limit:
        yield distance
        distance *= 2
    if limit > 0:
        yield limit


def _largest_that_works(value: Any, works: Callable[[Any], bool]) -> Any | None:
    """Returns a size reduced to the largest cap that works; None if not even 1 works."""
    largest = _largest(value)
    if largest <= 1 or not works(_capped(value, 1)):
        return None
    near = _just_below(largest)
    found = next((cap for cap in near if cap == 1 or works(_capped(value, cap))), None)
    if found is None:
        found = _bisect(1, near[-1], lambda cap: works(_capped(value, cap)))
    return _capped(value, found)


def _bisect(works_there: int, fails_there: int, works: Callable[[int], bool]) -> int:
    """Returns a number that works and is adjacent to one that fails, between the two given numbers."""
    while abs(works_there - fails_there) > 1:
        middle = (works_there + fails_there) // 2
        works_there, fails_there = (middle, fails_there) if works(middle) else (works_there, middle)
    return works_there


def _alternatives(field: str, value: Any) -> Iterator[Any]:
    """Yields other values of a field that is not a size, nearest first."""
    if field == "lowering" and value != "auto":
        yield "auto"
    elif field.endswith("padding"):
        for name in ("SAME", "VALID"):
            if value != name:
                yield name
            if isinstance(value, tuple):  # paddings of several convolutions
                yield (name,) * len(value)
    elif field.endswith("groups"):
        near = _just_below(_largest(value))
        yield from (_capped(value, cap) for cap in near)
        yield from (_capped(value, cap) for cap in _COMMON_GROUPS if near and cap < near[-1])
    elif field == "features" or field == "dense":
        yield from (_capped(value, _largest(value) // part) for part in (2, 4, 8, 16, 32) if value)


def _just_below(largest: int) -> range:
    return range(largest - 1, max(largest - 1 - _ONE_BY_ONE, 0), -1)


def _largest(value: Any) -> int:
    return max(map(_largest, value)) if isinstance(value, tuple) else int(value)


def _capped(value: Any, cap: int) -> Any:
    return tuple(_capped(entry, cap) for entry in value) if isinstance(value, tuple) else max(1, min(value, cap))


def _raised(value: Any, least: int) -> Any:
    return tuple(_raised(entry, least) for entry in value) if isinstance(value, tuple) else max(value, least)
