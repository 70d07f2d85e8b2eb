"""The parts of images that a layer's channels respond to most, and what of them causes the response.

For every channel the images of a data set are ranked by the strongest response in each, at whatever place, as in the
figures of Zeiler and Fergus, "Visualizing and understanding convolutional networks", 2014. Of every image there is one
unit at most, the strongest, the first of equals row by row. Its patch is the smallest rectangle of the image that holds
all pixels that the unit depends on, and no larger.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, UInt8

from cnn_jax import ops
from cnn_jax.data.device.pipeline import Normalization
from cnn_jax.geometry.unit_fields import UnitFields
from cnn_jax.inspect.attribution import batch_size, checked
from cnn_jax.inspect.strongest import StrongestUnits, as_maps, box_pixels, cut, strongest_of_batch
from cnn_jax.layer_rows import ACTIVATION
from cnn_jax.models import Model, Variables

LARGEST_BYTES = 4 * 2**30  # of patches, reconstructions and pictures of all units together
_BYTES = 4 + 4 + 1  # of a patch, its reconstruction and its picture, for each of its numbers
# How far responses to patches alone may be from those to whole images, of a layer's largest: more than rounding makes.
_TOLERANCE = 0.05

ToPixels = Callable[[Float[np.ndarray, "n h w c"]], UInt8[np.ndarray, "n h w c"]]


@dataclasses.dataclass(frozen=True)
class TopUnits:
    """The units of a layer with the strongest responses, for each of some channels the `k` strongest, in falling order.

    Attributes:
      layer: Name of the layer, with "/activation" after it where the responses are those of the activation.
      channels: Numbers of the channels, from 0.
      values: Responses; -inf where there are fewer images than k.
      images: Number of each unit's image in the data set, from 0; -1 where there are fewer images than k.
      places: (row, column) of the unit in the layer's map; (0, 0) where the layer has no maps.
      boxes: (top, left, height, width) in pixels of all that the unit depends on. In a network with circular padding a
        box may go beyond the last row or column and on from the first.
    """

    layer: str
    channels: Int[np.ndarray, " c"]
    values: Float[np.ndarray, "c k"]
    images: Int[np.ndarray, "c k"]
    places: Int[np.ndarray, "c k 2"]
    boxes: Int[np.ndarray, "c k 4"]

    @property
    def silent(self) -> Bool[np.ndarray, " c"]:
        """Which channels are 0 at best for every image, behind a rectifier that never opens; their patches are any."""
        return self.values[:, 0] == 0


@dataclasses.dataclass(frozen=True)
class TopPatches:
    """The patches of a layer's strongest units.

    Boxes differ in size where they are cut off at an image's border, or where branches of a network meet. All arrays
    have the size of the largest; a smaller box lies at the top left, and zeros fill the rest.

    Attributes:
      units: Where the patches come from.
      patches: Normalised pixels.
      pixels: The same as the viewer sees them, 0 to 255.
      reconstructions: Signal of the unit at the pixels, led back as in a deconvolutional network, in responses per unit
        of the normalised pixels.
      recomputed: Responses to the patches alone; nan where there is none.
    """

    units: TopUnits
    patches: Float[np.ndarray, "c k h w n"]
    pixels: UInt8[np.ndarray, "c k h w n"]
    reconstructions: Float[np.ndarray, "c k h w n"]
    recomputed: Float[np.ndarray, "c k"]

    @property
    def inside(self) -> Bool[np.ndarray, "c k h w"]:
        """Which pixels of the arrays are in the boxes."""
        return _inside(self.units.boxes, self.patches.shape[2:4])

    @property
    def largest_error(self) -> float:
        """The largest difference between a response to a patch alone and that to its image."""
        known = self.units.images >= 0
        return float(np.abs(self.recomputed - self.units.values)[known].max(initial=0.0))


def top_patches(
    model: Model,
    variables: Variables,
    batches: Iterable[Float[np.ndarray, "b h w c"]],
    to_pixels: ToPixels,
    layers: Mapping[str, Sequence[int] | None] | None = None,
    count: int = 9,
) -> tuple[TopPatches, ...]:
    """Finds the strongest responses of channels over a data set, cuts out their patches and reconstructs them.

    The images are read once. Memory holds one batch, and of each unit among the strongest so far its patch; more than
    LARGEST_BYTES are refused beforehand.

    A reconstruction is the vector-Jacobian product of the unit's response with respect to the image, with rectifiers as
    `ops.relu_backward("deconvnet")` has them. Where no rectifier lies between, it is the gradient.

    Args:
      model: Network.
      variables: Its variables.
      batches: Normalised images, in batches of any sizes.
      to_pixels: Function that gives the viewer's pixels of normalised ones; `denormalizing` makes one.
      layers: Channels of each layer by the layer's name, None for all of a layer. Defaults to all channels of
        `feature_maps`.
      count: Units for each channel.

    Returns:
      The patches of each layer, in the order of `layers`.

    Raises:
      GeometryError: Where the images are too small for a layer.
      ValueError: Where layers, channels, images and network do not fit together, there are no images, a response is not
        finite, or a response to a patch alone is another than that to its image.

    Source: Zeiler and Fergus, 2014, sections 2.1 and 4, figure 2.
    """
    if count < 1:
        raise ValueError(f"count={count}: expected at least 1")
    found: list[StrongestUnits] = []
    first, lowest, highest = 0, np.inf, -np.inf
    for images in _parts(model, variables, batches):
        if not found:
            found = _searches(model, variables, images, layers, count)
            names = tuple(each.layer for each in found)
            numbers, blind = tuple(each.channels for each in found), tuple(each.blind for each in found)
            size = len(images)
        filled, there = images[np.minimum(np.arange(size), len(images) - 1)], np.arange(size) < len(images)
        strongest = strongest_of_batch(model, variables, filled, there, names, min(count, size), numbers, blind)
        for each, units in zip(found, jax.device_get(strongest), strict=True):
            if not (units[0] < np.inf).all():
                raise ValueError(f"layer {each.layer!r} gives responses that are not finite")
            each.add(images, first, *units)
        first += len(images)
        lowest, highest = min(lowest, images.min()), max(highest, images.max())
    if not found:
        raise ValueError("no images: expected at least one")
    around = np.random.default_rng(0).uniform(lowest, highest, images.shape[1:]).astype(np.float32)
    return tuple(_finished(model, variables, found, around, to_pixels))


def feature_maps(model: Model, image_shape: tuple[int, int, int]) -> tuple[str, ...]:
    """Lists the feature maps of a network: the outputs of activations that have maps.

    Args:
      model: Network.
      image_shape: (height, width, channels) of an image in pixels.

    Returns:
      Names, each a layer's with "/activation" after it, in the order of computation; of a network without such the
      names of its convolutions.

    Raises:
      GeometryError: Where the image is too small for a layer.
    """
    rows = model.layers(image_shape)
    maps = {row.name for row in rows if len(row.output_shape) == 3}
    found = tuple(name for name in model.activations(image_shape) if name.removesuffix(ACTIVATION) in maps)
    return found or tuple(row.name for row in rows if row.kind == "conv")


def denormalizing(normalization: Normalization) -> ToPixels:
    """Makes the function from normalised pixels back to those from 0 to 255.

    Args:
      normalization: Constants that the pixels were normalised with.

    Returns:
      The function.
    """
    mean, std = np.asarray(normalization.mean), np.asarray(normalization.std)
    return lambda images: np.rint(images * std + mean).clip(0, 255).astype(np.uint8)


def recompute(
    model: Model,
    variables: Variables,
    units: Sequence[TopUnits],
    patches: Sequence[Float[np.ndarray, "c k h w n"]],
    around: Float[np.ndarray, "height width n"],
) -> list[Float[np.ndarray, "c k"]]:
    """Computes units' responses to their patches alone.

    Each patch is put to its place in another image, so that the network pads it, and the maps in the middle of the
    network, where it padded the image that the patch was cut from. Nothing else of that image is left.

    Args:
      model: Network.
      variables: Its variables.
      units: Units of each layer.
      patches: Their patches, as in `TopPatches`.
      around: Normalised pixels of the other image, such as noise.

    Returns:
      Responses of each layer; nan where there is no unit.

    """
    compute = functools.partial(_compiled_responses, model, variables, tuple(each.layer for each in units))
    values = [np.full(each.values.shape, np.nan, np.float32) for each in units]
    for (layer, channel, rank), value in _each_alone(compute, units, patches, around):
        values[layer][channel, rank] = value
    return values


def _parts(
    model: Model, variables: Variables, batches: Iterable[Float[np.ndarray, "b h w c"]]
) -> Iterator[Float[np.ndarray, "b h w c"]]:
    """Checks images and gives them in batches of bounded size, none larger than the first."""
    shape, size = None, 0
    for batch in batches:
        images = np.asarray(batch, np.float32)
        if shape is None:
            checked(model, variables, jnp.asarray(images), jnp.zeros(len(images), jnp.int32))
            shape, size = images.shape[1:], batch_size(images.shape[1:3], len(images))
        if images.shape[1:] != shape:
            raise ValueError(f"images of the shape {images.shape[1:]} after such of {shape}: expected one shape")
        if not np.isfinite(images).all():
            raise ValueError("images have pixels that are not finite")
        for start in range(0, len(images), size):
            yield images[start : start + size]


def _searches(
    model: Model,
    variables: Variables,
    images: Float[np.ndarray, "b h w c"],
    layers: Mapping[str, Sequence[int] | None] | None,
    count: int,
) -> list[StrongestUnits]:
    """Prepares the search in every layer."""
    shape = (images.shape[1], images.shape[2], images.shape[3])
    wanted: Mapping[str, Sequence[int] | None] = (
        dict.fromkeys(feature_maps(model, shape)) if layers is None else dict(layers)
    )
    if not wanted:
        raise ValueError("layers: expected at least one")
    fields = UnitFields(model.layers(shape), shape)
    outputs = jax.eval_shape(lambda v, x: model.apply_with_layers(v, x, tuple(wanted))[3], variables, images[:1])
    found = []
    for name, channels in wanted.items():
        total = outputs[name].shape[-1]
        numbers = np.arange(total) if channels is None else np.asarray(channels, int)
        wrong = numbers[(numbers < 0) | (numbers >= total)]
        if len(wrong) or not len(numbers):
            came = f"channel {wrong[0]}" if len(wrong) else "no channels"
            raise ValueError(f"layer {name!r}, {came}: expected 0 to {total - 1}")
        found.append(StrongestUnits(name, numbers, count, fields, shape[2]))
    size = sum(each.numbers_kept for each in found) * _BYTES
    if size > LARGEST_BYTES:
        most = max(found, key=lambda each: each.numbers_kept)
        raise ValueError(
            f"the patches take {size / 2**30:.1f} GiB, above the bound of {LARGEST_BYTES / 2**30:.0f} GiB, most for "
            f"{len(most.channels)} channels of layer {most.layer!r}; choose fewer channels or layers, or a lower count"
        )
    return found


def _finished(
    model: Model,
    variables: Variables,
    found: Sequence[StrongestUnits],
    around: Float[np.ndarray, "h w n"],
    to_pixels: ToPixels,
) -> Iterator[TopPatches]:
    """Reconstructs what was found."""
    units = [TopUnits(each.layer, each.channels, each.values, each.images, each.places, each.boxes) for each in found]
    patches = [each.patches() for each in found]
    values, signals = _led_back(model, variables, units, patches, around)
    for number, each in enumerate(units):
        cut_out = patches[number]
        pixels = to_pixels(cut_out.reshape(-1, *cut_out.shape[2:])).reshape(cut_out.shape)
        pixels = np.where(_inside(each.boxes, cut_out.shape[2:4])[..., None], pixels, 0)
        result = TopPatches(each, cut_out, pixels, signals[number], values[number])
        largest = np.abs(each.values[each.images >= 0]).max(initial=0.0)
        if result.largest_error > _TOLERANCE * largest:
            raise ValueError(
                f"layer {each.layer!r}: responses to patches alone differ from those to whole images by up to "
                f"{result.largest_error:.3g}, of {largest:.3g}: units depend on pixels outside of the receptive fields "
                "that the layer table gives"
            )
        yield result


def _led_back(
    model: Model,
    variables: Variables,
    units: Sequence[TopUnits],
    patches: Sequence[Float[np.ndarray, "c k h w n"]],
    around: Float[np.ndarray, "height width n"],
) -> tuple[list[Float[np.ndarray, "c k"]], list[Float[np.ndarray, "c k h w n"]]]:
    """Computes the units' responses to their patches alone, and leads them back to the pixels."""
    compute = functools.partial(_deconvolved, model, variables, tuple(each.layer for each in units))
    values = [np.full(each.values.shape, np.nan, np.float32) for each in units]
    signals = [np.zeros_like(each) for each in patches]
    for (layer, channel, rank), (signal, value) in _each_alone(compute, units, patches, around):
        box = units[layer].boxes[channel, rank]
        values[layer][channel, rank] = value
        signals[layer][channel, rank, : box[2], : box[3]] = cut(signal, box)
    if not all(np.isfinite(each).all() for each in signals):
        raise ValueError("the network gives reconstructions that are not finite")
    return values, signals


def _each_alone(
    compute: Callable[..., Any],
    units: Sequence[TopUnits],
    patches: Sequence[Float[np.ndarray, "c k h w n"]],
    around: Float[np.ndarray, "height width n"],
) -> Iterator[tuple[tuple[int, int, int], Any]]:
    """Puts every unit's patch into the image `around` and applies a function to batches of bounded size.

    Yields:
      (number of the layer, position of the channel, rank of the unit) and the function's result for each unit.
    """
    known = [
        (layer, int(channel), int(rank))
        for layer, some in enumerate(units)
        for channel, rank in np.argwhere(some.images >= 0)
    ]
    size = batch_size(around.shape[:2], len(known))
    for start in range(0, len(known), size):
        part = known[start : start + size]
        filled = part + part[-1:] * (size - len(part))
        canvases = np.tile(around, (size, 1, 1, 1))
        for canvas, (layer, channel, rank) in zip(canvases, filled, strict=True):
            box = units[layer].boxes[channel, rank]
            rows, columns = box_pixels(box, around.shape)
            canvas[rows[:, None], columns] = patches[layer][channel, rank, : box[2], : box[3]]
        which = np.array([layer for layer, _, _ in filled])
        channels = np.array([units[layer].channels[channel] for layer, channel, _ in filled])
        places = np.array([units[layer].places[channel, rank] for layer, channel, rank in filled])
        results = jax.device_get(compute(canvases, which, channels, places))
        for number, index in enumerate(part):
            yield index, jax.tree.map(lambda leaf, number=number: leaf[number], results)


def _responses(
    model: Model,
    variables: Variables,
    layers: tuple[str, ...],
    images: Float[Array, "b h w n"],
    which: Int[Array, " b"],
    channels: Int[Array, " b"],
    places: Int[Array, "b 2"],
) -> Float[Array, " b"]:
    """Gives the response of one unit to each image, of the unit's layer by its number among `layers`.

    One program serves the units of all layers.
    """
    outputs = model.apply_with_layers(variables, images, layers)[3]
    values = jnp.zeros(len(images))
    for number, name in enumerate(layers):
        maps = as_maps(outputs[name])
        last = jnp.array(maps.shape[1:]) - 1
        row, column, channel = jnp.minimum(jnp.stack([places[:, 0], places[:, 1], channels]), last[:, None])
        values = jnp.where(which == number, maps[jnp.arange(len(images)), row, column, channel], values)
    return values


_compiled_responses = jax.jit(_responses, static_argnums=(0, 2))


@functools.partial(jax.jit, static_argnums=(0, 2))
def _deconvolved(
    model: Model,
    variables: Variables,
    layers: tuple[str, ...],
    images: Float[Array, "b h w n"],
    *units: Int[Array, "..."],
) -> tuple[Float[Array, "b h w n"], Float[Array, " b"]]:
    """Leads the response of one unit to each image back to the image, and gives the responses; as for `_responses`."""

    def score(images: Array) -> tuple[Array, Array]:
        with ops.relu_backward("deconvnet"):
            values = _responses(model, variables, layers, images, *units)
        return values.sum(), values

    return jax.grad(score, has_aux=True)(images)


def _inside(boxes: Int[np.ndarray, "c k 4"], size: Sequence[int]) -> Bool[np.ndarray, "c k h w"]:
    """Which pixels of arrays of a size belong to boxes at their top left."""
    rows, columns = (np.arange(size[axis]) < boxes[..., 2 + axis, None] for axis in range(2))
    return rows[..., :, None] & columns[..., None, :]
