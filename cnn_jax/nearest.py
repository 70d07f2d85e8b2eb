"""Suggestions for a geometry that does not work: the nearest settings with which it does."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from cnn_jax.config import Model as ModelConfig
from cnn_jax.ops import GeometryError

_LARGEST_FACTOR = 8  # images are tried up to so many times their size
_LARGEST_SMALL = 64  # and in any case up to so many pixels more

ImageShape = tuple[int, int, int]
Trace = Callable[[ModelConfig, ImageShape], Any]


def suggest_fixes(model_config: ModelConfig, image_shape: ImageShape, trace: Trace) -> Iterator[str]:
    """Changes one field, or the image size, until every layer works.

    Args:
      model_config: Config with which the network does not work.
      image_shape: (height, width, channels) of an image in pixels.
      trace: Function that raises a GeometryError for a config and an image shape that do not work.

    Yields:
      The nearest value of every field that helps, as the command line takes it, then the nearest image size.
    """

    def works(config: ModelConfig, shape: ImageShape) -> bool:
        try:
            trace(config, shape)
        except GeometryError:
            return False
        return True

    for field in type(model_config).model_fields:
        for value in _neighbours(field, getattr(model_config, field)):
            if works(model_config.model_copy(update={field: value}), image_shape):
                yield f"config.model.{field}={value}"
                break
    height, width, channels = image_shape

    def works_at(change: int) -> bool:
        return works(model_config, (height + change, width + change, channels))

    for direction, limit in (
        (1, max((_LARGEST_FACTOR - 1) * max(height, width), _LARGEST_SMALL)),
        (-1, min(height, width) - 1),
    ):
        reach = next((reach for reach in _doubled(limit) if works_at(direction * reach)), None)
        if reach is not None:
            change = next(change for change in range(reach // 2, reach + 1) if works_at(direction * change))
            yield f"images of {height + direction * change}x{width + direction * change}"
            break


def _doubled(limit: int) -> Iterator[int]:
    reach = 1
    while reach <= limit:
        yield reach
        reach *= 2


def _neighbours(field: str, value: Any) -> Iterator[Any]:
    """Lists other values of a field that change a map's size, the nearest first."""
    if field == "lowering" and value != "auto":
        yield "auto"
    elif field.endswith("padding"):
        yield from (name for name in ("SAME", "VALID") if value != name)
    elif value is not None and field.endswith(("kernel_size", "window", "strides", "dilation", "groups")):
        largest = _largest(value)
        yield from (_capped(value, cap) for cap in range(largest - 1, 0, -1))
        if field.endswith("strides"):
            yield from (_raised(value, least) for least in range(2, 5))
    elif field == "features" or field == "dense":
        yield from (_capped(value, _largest(value) // part) for part in (2, 4, 8, 16, 32) if value)


def _largest(value: Any) -> int:
    return max(map(_largest, value)) if isinstance(value, tuple) else int(value)


def _capped(value: Any, cap: int) -> Any:
    return tuple(_capped(entry, cap) for entry in value) if isinstance(value, tuple) else max(1, min(value, cap))


def _raised(value: Any, least: int) -> Any:
    return tuple(_raised(entry, least) for entry in value) if isinstance(value, tuple) else max(value, least)
