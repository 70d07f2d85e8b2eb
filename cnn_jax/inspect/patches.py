"""Patches of images with the strongest responses of a layer's channels, and their reconstructions.

For every channel, the images of a data set are ranked by their strongest response at any position, as in the figures of
Zeiler and Fergus, "Visualizing and understanding convolutional networks", 2014. Each image contributes at most one
unit, the strongest one; ties are broken row by row. Its patch is the smallest rectangle of the image that contains all
pixels the unit depends on.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float, Int, UInt8

from cnn_jax.data.device.pipeline import Normalization
from cnn_jax.geometry.unit_fields import UnitFields
from cnn_jax.inspect.attribution import batch_size, checked
from cnn_jax.inspect.reconstruction import chosen_rules, reconstruct
from cnn_jax.inspect.strongest import StrongestUnits, TopUnits, strongest_of_batch
from cnn_jax.layer_rows import ACTIVATION
from cnn_jax.models import Model, Variables
from cnn_jax.ops.activation import ReluBackward

LARGEST_BYTES = 4 * 2**30  # for patches, reconstructions and pictures of all units together
# Largest difference between responses to patches and to images, relative to a layer's maximum; rounding is smaller.
_TOLERANCE = 0.05

ToPixels = Callable[[Float[np.ndarray, "n h w c"]], UInt8[np.ndarray, "n h w c"]]


@dataclasses.dataclass(frozen=True)
class TopPatches:
    """Patches of a layer's strongest units.

    Boxes differ in size if they are clipped at an image's border, or if branches of a network meet. All arrays have the
    size of the largest box; a smaller box is at the top left, padded with zeros.

    Attributes:
      units: Units that the patches belong to.
      patches: Normalised pixels.
      pixels: The patches as pixels, 0 to 255.
      reconstructions: Backpropagated responses by rule for rectifiers, in responses per unit of the normalised pixels.
      recomputed: Responses to the patches only; NaN without a unit.
    """

    units: TopUnits
    patches: Float[np.ndarray, "c k h w n"]
    pixels: UInt8[np.ndarray, "c k h w n"]
    reconstructions: Mapping[ReluBackward, Float[np.ndarray, "c k h w n"]]
    recomputed: Float[np.ndarray, "c k"]

    @property
    def inside(self) -> Bool[np.ndarray, "c k h w"]:
        """Mask of the pixels inside the boxes."""
        return _box_mask(self.units.boxes, self.patches.shape[2:4])

    @property
    def largest_error(self) -> float:
        """Largest difference between the responses to a patch and to its image."""
        known = self.units.images >= 0
        return float(np.abs(self.recomputed - self.units.values)[known].max(initial=0.0))


def top_patches(
    model: Model,
    variables: Variables,
    batches: Iterable[Float[np.ndarray, "b h w c"]],
    to_pixels: ToPixels,
    layers: Mapping[str, Sequence[int] | None] | None = None,
    count: int = 9,
    rules: Sequence[ReluBackward] | None = None,
) -> tuple[TopPatches, ...]:
    """Finds the strongest responses of channels over a data set, and extracts and reconstructs their patches.

    The images are read once. Memory holds one batch and the patches of the strongest units so far; more than
    LARGEST_BYTES are refused beforehand.

    A reconstruction is the vector-Jacobian product of the unit's response with respect to the image, with
    `ops.relu_backward` of a rule at rectifiers. In a first layer, where only the unit's own rectifier lies between, all
    rules give the gradient.

    Args:
      model: Network.
      variables: Its variables.
      batches: Normalised images, in batches of any size.
      to_pixels: Function from normalised pixels to pixels from 0 to 255, such as `denormalizing` returns.
      layers: Channels by layer name; None selects all channels of a layer. Defaults to all channels of `feature_maps`.
      count: Units per channel.
      rules: Rules for rectifiers; each gives a reconstruction of every patch. Defaults to "deconvnet" and "guided", or
        to "gradient" for a network without rectifiers.

    Returns:
      The patches of each layer, in the order of `layers`.

    Raises:
      GeometryError: If the images are too small for a layer.
      ValueError: If layers, channels, rules, images and network do not match, there are no images, a response is not
        finite, or the responses to a patch and to its image differ.

    Source: Zeiler and Fergus, 2014, sections 2.1 and 4, figure 2; Springenberg et al., "Striving for Simplicity", 2015,
      section 3.4, figure 3, for "guided".
    """
    if count < 1:
        raise ValueError(f"count={count}: expected at least 1")
    found: list[StrongestUnits] = []
    chosen: tuple[ReluBackward, ...] = ()
    first, lowest, highest = 0, np.inf, -np.inf
    for images in _checked_batches(model, variables, batches):
        if not found:
            chosen = chosen_rules(model, variables, images, rules)
            found = _searches(model, variables, images, layers, count)
            _check_size(found, len(chosen))
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
    return tuple(_reconstructed(model, variables, found, around, to_pixels, chosen))


def feature_maps(model: Model, image_shape: tuple[int, int, int]) -> tuple[str, ...]:
    """Lists the feature maps of a network: the outputs of activations that have maps.

    Args:
      model: Network.
      image_shape: (height, width, channels) of an image in pixels.

    Returns:
      Names of layers followed by "/activation", in the order of computation; the names of the convolutions if there are
      no such activations.

    Raises:
      GeometryError: If the image is too small for a layer.
    """
    rows = model.layers(image_shape)
    maps = {row.name for row in rows if len(row.output_shape) == 3}
    found = tuple(name for name in model.activations(image_shape) if name.removesuffix(ACTIVATION) in maps)
    return found or tuple(row.name for row in rows if row.kind == "conv")


def denormalizing(normalization: Normalization) -> ToPixels:
    """Returns the function from normalised pixels to pixels from 0 to 255.

    Args:
      normalization: Constants that the pixels were normalised with.

    Returns:
      The function.
    """
    mean, std = np.asarray(normalization.mean), np.asarray(normalization.std)
    return lambda images: np.rint(images * std + mean).clip(0, 255).astype(np.uint8)


def _checked_batches(
    model: Model, variables: Variables, batches: Iterable[Float[np.ndarray, "b h w c"]]
) -> Iterator[Float[np.ndarray, "b h w c"]]:
    """Checks images and yields them in batches of bounded size, none larger than the first."""
    shape, size = None, 0
    for batch in batches:
        images = np.asarray(batch, np.float32)
        if shape is None:
            checked(model, variables, jnp.asarray(images), jnp.zeros(len(images), jnp.int32))
            shape, size = images.shape[1:], batch_size(images.shape[1:3], len(images))
        if images.shape[1:] != shape:
            raise ValueError(
                f"images with shape {images.shape[1:]} after images with shape {shape}: expected one shape"
            )
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
    return found


def _check_size(found: Sequence[StrongestUnits], rules: int) -> None:
    """Refuses patches that take too much memory; every value is kept also as a pixel and in each reconstruction."""
    size = sum(each.numbers_kept for each in found) * (4 + 4 * rules + 1)
    if size > LARGEST_BYTES:
        most = max(found, key=lambda each: each.numbers_kept)
        raise ValueError(
            f"the patches take {size / 2**30:.1f} GiB, above the bound of {LARGEST_BYTES / 2**30:.0f} GiB, most for "
            f"{len(most.channels)} channels of layer {most.layer!r}; choose fewer channels or layers, or a lower count"
        )


def _reconstructed(
    model: Model,
    variables: Variables,
    found: Sequence[StrongestUnits],
    around: Float[np.ndarray, "h w n"],
    to_pixels: ToPixels,
    rules: Sequence[ReluBackward],
) -> Iterator[TopPatches]:
    """Reconstructs the patches found."""
    units = [TopUnits(each.layer, each.channels, each.values, each.images, each.places, each.boxes) for each in found]
    patches = [each.patches() for each in found]
    led_back = {rule: reconstruct(model, variables, units, patches, around, rule) for rule in rules}
    values = led_back[rules[0]][0]  # every rule has the same forward pass
    for number, each in enumerate(units):
        cut_out = patches[number]
        pixels = to_pixels(cut_out.reshape(-1, *cut_out.shape[2:])).reshape(cut_out.shape)
        pixels = np.where(_box_mask(each.boxes, cut_out.shape[2:4])[..., None], pixels, 0)
        result = TopPatches(
            each, cut_out, pixels, {rule: signals[number] for rule, (_, signals) in led_back.items()}, values[number]
        )
        largest = np.abs(each.values[each.images >= 0]).max(initial=0.0)
        if result.largest_error > _TOLERANCE * largest:
            raise ValueError(
                f"layer {each.layer!r}: responses to patches differ from those to whole images by up to "
                f"{result.largest_error:.3g}, of {largest:.3g}: units depend on pixels outside the receptive fields "
                "that the layer table gives"
            )
        yield result


def _box_mask(boxes: Int[np.ndarray, "c k 4"], size: Sequence[int]) -> Bool[np.ndarray, "c k h w"]:
    """Returns the mask of the pixels that belong to boxes at the top left of arrays of a size."""
    rows, columns = (np.arange(size[axis]) < boxes[..., 2 + axis, None] for axis in range(2))
    return rows[..., :, None] & columns[..., None, :]
