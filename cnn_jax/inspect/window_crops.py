"""Computes the logits of images that differ from one image only in a window, on crops around the window.

Far from a window, every layer has the same values as for the whole image. The first layers therefore only need to be
computed on crops around the window. The network is divided at layers through which all later ones read the image.
Between two divisions it runs on a crop, and the values that agree tap by tap with the computation on the whole image
replace those in the maps of the unchanged image. The layers after the last division are computed on whole maps.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from cnn_jax.geometry.unit_fields import UnitFields
from cnn_jax.layer_rows import IMAGE, LayerRow
from cnn_jax.models import Model, Variables
from cnn_jax.ops.padding import GeometryError
from cnn_jax.padding_dialects import border_mode

LEAST_SAVED = 5e9  # multiply-adds over all windows; saving fewer is not worth a larger program
_LEAST_PART = 0.04  # minimum share of the network's multiply-adds between two divisions
_LARGEST_SHARE = 0.8  # maximum share of the multiply-adds between two divisions that crops may need
_TRIES = 6  # maximum number of crop sizes tried
# Kinds of layers whose outputs depend only on a window of the input, or on the same position.
_LOCAL = frozenset(
    {
        "conv", "max_pool", "avg_pool", "min_pool", "batch_norm", "lrn", "scale", "dropout", "pad", "crop", "add",
        "concat",
    }
)  # fmt: skip


class Part(NamedTuple):
    """Part of a network that is computed on crops.

    Attributes:
      source: Name of the layer before the part; None is the image.
      target: Name of the part's last layer.
      pixels: (height, width) of a picture that has maps of the crops' sizes.
      size: (height, width) of the crops of the source's output.
    """

    source: str | None
    target: str
    pixels: tuple[int, int]
    size: tuple[int, int]


class Places(NamedTuple):
    """Positions of a part's crops, one for each window.

    Attributes:
      sources: First (row, column) of the crop in the source's map.
      targets: First (row, column) of the computed region in the target's map.
      rows, columns: Masks of its rows and columns that have the values of the whole network.
    """

    sources: Int[Array | np.ndarray, "n 2"]
    targets: Int[Array | np.ndarray, "n 2"]
    rows: Bool[Array | np.ndarray, "n h"]
    columns: Bool[Array | np.ndarray, "n w"]


class _Crop(NamedTuple):
    """Crop of one window along one axis."""

    source: int
    target: int
    agrees: Bool[np.ndarray, " m"]


@dataclasses.dataclass(frozen=True)
class _Network:
    """Layer rows of a network in evaluation, for images and for crops."""

    model: Model
    image_shape: tuple[int, int, int]

    @functools.cached_property
    def variables(self) -> Variables:
        return self.model.variable_shapes(self.image_shape)

    @functools.cached_property
    def rows(self) -> tuple[LayerRow, ...]:
        return self.model.part_rows(self.variables, self.image_shape, self.model.layers(self.image_shape)[-1].name)

    @functools.cached_property
    def fields(self) -> UnitFields:
        return UnitFields(self.rows, self.image_shape)

    def cropped(self, pixels: tuple[int, int], target: int) -> tuple[LayerRow, ...] | None:
        """Returns the rows up to the target for a picture of another size; None if it is too small."""
        shape = (*pixels, self.image_shape[2])
        try:
            rows = self.model.part_rows(self.variables, shape, self.rows[target].name)
        except GeometryError:
            return None
        alike = [(row.name, row.sources) for row in self.rows[: target + 1]]
        return rows if alike == [(row.name, row.sources) for row in rows] else None


@functools.lru_cache(maxsize=16)
def plan_parts(
    model: Model,
    image_shape: tuple[int, int, int],
    windows: tuple[tuple[int, int], ...],
    window: tuple[int, int],
) -> tuple[tuple[Part, ...], tuple[Places, ...]]:
    """Divides a network into parts to compute on crops around windows, if this saves enough.

    Args:
      model: Network.
      image_shape: (height, width, channels) of the image in pixels.
      windows: First (row, column) of each window; outside the image, a window changes nothing.
      window: (height, width) of the windows in pixels.

    Returns:
      (parts in the order of computation, positions of their crops); empty if the whole network is computed.

    Raises:
      GeometryError: If the image is too small for a layer.
    """
    network, starts = _Network(model, image_shape), np.array(windows)
    if sum(row.multiply_adds for row in model.layers(image_shape)) * len(starts) < LEAST_SAVED:
        return (), ()
    total = sum(row.multiply_adds for row in network.rows)
    parts: list[Part] = []
    places: list[Places] = []
    source, saved = IMAGE, 0
    for target in _divisions(network.rows):
        whole = sum(row.multiply_adds for row in network.rows[source + 1 : target + 1])
        if whole < _LEAST_PART * total:
            continue
        found = _plan_part(network, source, target, starts, window)
        if found is None:
            break
        part, where, rows = found
        cost = sum(row.multiply_adds for row in rows[source + 1 :])
        if cost > _LARGEST_SHARE * whole:
            break
        parts.append(part)
        places.append(where)
        saved += whole - cost
        source = target
    return (tuple(parts), tuple(places)) if saved * len(starts) >= LEAST_SAVED else ((), ())


def changed_logits(
    model: Model,
    variables: Variables,
    images: Float[Array, "n h w c"],
    parts: tuple[Part, ...],
    places: Sequence[Places],
    kept: Sequence[Float[Array, "h w c"]],
) -> Float[Array, "n k"]:
    """Computes the logits of images that each differ from one image in a window.

    Args:
      model: Network.
      variables: Its variables.
      images: Normalised pixels.
      parts: Parts of the network to compute on crops, from `plan_parts`.
      places: Positions of the crops, with an entry for each image.
      kept: Outputs of the parts' last layers for the image without a window.

    Returns:
      Logits.
    """
    maps = images
    for part, place, unchanged in zip(parts, places, kept, strict=True):
        crops = _crop_maps(maps, place.sources, part.size)
        if part.source is None:
            computed = model.apply_part(variables, crops, stop=part.target)
        else:
            pixels = jnp.zeros((len(images), *part.pixels, images.shape[3]))
            computed = model.apply_part(variables, pixels, {part.source: crops}, part.target)
        agrees = place.rows[:, :, None, None] & place.columns[:, None, :, None]
        whole = jnp.broadcast_to(unchanged, (len(images), *unchanged.shape))
        new = jnp.where(agrees, computed, _crop_maps(whole, place.targets, computed.shape[1:3]))
        maps = jax.vmap(lambda one, some, at: jax.lax.dynamic_update_slice(one, some, (at[0], at[1], 0)))(
            whole, new, place.targets
        )
    return model.apply_part(variables, images, {parts[-1].target: maps} if parts else None)


def _crop_maps(maps: Array, starts: Array | np.ndarray, size: Sequence[int]) -> Array:
    """Crops each map to a rectangle of a size."""
    result: Array = jax.vmap(lambda one, at: jax.lax.dynamic_slice(one, (at[0], at[1], 0), (*size, maps.shape[3])))(
        maps, starts
    )
    return result


def _divisions(rows: Sequence[LayerRow]) -> list[int]:
    """Returns the layers through which all later ones read the image, each before one with multiply-adds."""
    oldest = [IMAGE] * len(rows)  # oldest layer read by the layers after each
    read = len(rows)
    for number in range(len(rows) - 1, 0, -1):
        read = min(read, *rows[number].sources)
        oldest[number - 1] = read
    found = []
    for number, row in enumerate(rows[:-1]):
        if row.kind not in _LOCAL:
            break
        if oldest[number] >= number and rows[number + 1].kind not in ("batch_norm", "lrn", "dropout", "max_pool"):
            found.append(number)
    return found


def _plan_part(
    network: _Network, source: int, target: int, starts: Int[np.ndarray, "n 2"], window: tuple[int, int]
) -> tuple[Part, Places, tuple[LayerRow, ...]] | None:
    """Finds the smallest crops that work for all windows; None if none is smaller than the image."""
    for attempt in range(_TRIES):
        pixels = tuple(
            _crop_pixels(network, source, target, axis, starts[:, axis], window[axis], attempt) for axis in range(2)
        )
        if pixels == network.image_shape[:2]:
            return None
        rows = network.cropped((pixels[0], pixels[1]), target)
        if rows is None:
            continue
        crops = [
            [_crop(network, rows, source, axis, int(start), window[axis], pixels[axis]) for start in starts[:, axis]]
            for axis in range(2)
        ]
        along = [[each for each in axis if each is not None] for axis in crops]
        if any(len(each) < len(starts) for each in along):
            continue
        places = Places(
            np.array([[each.source for each in axis] for axis in along], np.int32).T,
            np.array([[each.target for each in axis] for axis in along], np.int32).T,
            *(np.array([each.agrees for each in axis]) for axis in along),
        )
        size = (pixels[0], pixels[1]) if source == IMAGE else rows[source].output_shape[:2]
        part = Part(
            None if source == IMAGE else network.rows[source].name,
            network.rows[target].name,
            (pixels[0], pixels[1]),
            (size[0], size[1]),
        )
        return part, places, rows
    return None


def _crop_pixels(
    network: _Network, source: int, target: int, axis: int, starts: Int[np.ndarray, " n"], window: int, attempt: int
) -> int:
    """Returns a crop length that may work for all windows; it grows with the attempt, up to the image's length."""
    length, jump = network.image_shape[axis], _jump(network.rows, target, axis)
    seen = network.fields.seen(network.rows[target].name)[axis]
    before = network.fields.seen(network.rows[source].name)[axis] if source != IMAGE else np.eye(length)
    longest = 0
    for start in np.unique(starts):
        changed = np.flatnonzero(seen[:, start : start + window].any(axis=1))
        if len(changed):
            longest = max(longest, int(changed[-1] - changed[0]) + 1)
    margin = int(seen.sum(axis=1).max() - before.sum(axis=1).max())
    pixels = (longest + math.ceil(margin / jump) + attempt) * jump
    return int(min(length, pixels + (length - pixels) % jump))


def _jump(rows: Sequence[LayerRow], target: int, axis: int) -> int:
    """Returns the distance in pixels between neighbouring outputs of a layer."""
    jump, number = 1, target
    while number != IMAGE:
        strides = rows[number].strides
        jump *= strides[axis] if strides is not None else 1
        number = rows[number].sources[0]
    return jump


def _crop(
    network: _Network, rows: Sequence[LayerRow], source: int, axis: int, start: int, window: int, pixels: int
) -> _Crop | None:
    """Positions the crop of one window; None if no crop of this length contains everything that the window changes."""
    target = len(rows) - 1
    length, jump = network.image_shape[axis], _jump(network.rows, target, axis)
    seen = network.fields.seen(network.rows[target].name)[axis]
    changed = np.flatnonzero(seen[:, start : start + window].any(axis=1))
    middle = (max(0, start) + min(length, start + window)) / 2 - pixels / 2
    near = round(middle / jump) * jump
    for first in dict.fromkeys(int(np.clip(near + apart * jump, 0, length - pixels)) for apart in (0, -1, 1, -2, 2)):
        found = _agreement(network.rows, rows, source, axis, (first, pixels))
        if found is None:
            continue
        inside = changed - found.target
        if not len(changed) or (
            inside[0] >= 0 and inside[-1] < len(found.agrees) and found.agrees[inside[0] : inside[-1] + 1].all()
        ):
            return found
    return None


def _agreement(
    whole: Sequence[LayerRow], cropped: Sequence[LayerRow], source: int, axis: int, crop: tuple[int, int]
) -> _Crop | None:
    """Compares the computation on a crop with that on the whole image, layer by layer, along one axis.

    Args:
      whole, cropped: Rows for the image and for the crop.
      source: Number of the layer whose output is given.
      axis: 0 for rows, 1 for columns.
      crop: (first pixel, pixels) of the crop.

    Returns:
      First position in the source's and in the target's map, and a mask of the positions of the target that agree; None
      if positions of the crop are not positions of the whole.
    """
    places: dict[int, tuple[int, np.ndarray]] = {IMAGE: (crop[0], np.ones(crop[1], bool))}
    for number, (row, small) in enumerate(zip(whole, cropped, strict=False)):
        incoming = [places[each] for each in row.sources]
        first, agrees = incoming[0][0], functools.reduce(np.logical_and, (each for _, each in incoming))
        if any(each != first for each, _ in incoming):
            return None
        if row.window is not None:
            moved = _windows_agreement(row, small, axis, first, agrees)
            if moved is None:
                return None
            first, agrees = moved
        if number == source:
            agrees = np.ones_like(agrees)
        if first < 0 or first + len(agrees) > row.output_shape[axis]:
            return None
        places[number] = first, agrees
    first, agrees = places[len(cropped) - 1]
    return _Crop(places[source][0], first, agrees)


def _windows_agreement(
    row: LayerRow, small: LayerRow, axis: int, first: int, agrees: Bool[np.ndarray, " n"]
) -> tuple[int, Bool[np.ndarray, " m"]] | None:
    """Returns the first position of the outputs, and a mask of those that read equal values at all taps."""
    assert row.window is not None
    assert row.strides is not None
    assert row.dilation is not None
    assert row.pads is not None
    assert small.pads is not None
    stride, low = row.strides[axis], small.pads[axis][0]
    start, rest = divmod(first + row.pads[axis][0] - low, stride)
    if rest:
        return None
    outputs = np.arange(small.output_shape[axis])
    taps = outputs[:, None] * stride + np.arange(row.window[axis]) * row.dilation[axis] - low
    inside = _tap_positions(small, axis, taps)
    outside = _tap_positions(row, axis, taps + first)
    same = np.where(inside < 0, outside < 0, (outside == inside + first) & agrees[np.maximum(inside, 0)])
    there = (outputs + start >= 0) & (outputs + start < row.output_shape[axis])
    return start, same.all(axis=1) & there


def _tap_positions(row: LayerRow, axis: int, taps: Int[np.ndarray, "m k"]) -> Int[np.ndarray, "m k"]:
    """Returns the input positions that taps read, -1 for zeros; other border values have their source positions."""
    count, mode = row.input_shape[axis], border_mode(row.padding)
    if mode is None:
        return np.where((taps >= 0) & (taps < count), taps, -1)
    assert row.pads is not None
    low, high = row.pads[axis]
    numbers = np.pad(np.arange(count), (low, high), mode)
    return np.where((taps >= -low) & (taps < count + high), numbers[np.clip(taps + low, 0, len(numbers) - 1)], -1)
