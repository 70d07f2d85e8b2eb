"""Theoretical and effective receptive fields of the units of a network's layers."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from cnn_jax import geometry
from cnn_jax.geometry import LayerGeometry
from cnn_jax.inspect.attribution import Images, batch_size
from cnn_jax.layer_rows import IMAGE
from cnn_jax.models import Model, Variables
from cnn_jax.words import unknown_layer

THRESHOLD = 1 - 0.9545  # share of the largest gradient (Luo et al.); the part outside two standard deviations


@dataclasses.dataclass(frozen=True)
class ReceptiveField:
    """Receptive field of the unit in the middle of a layer.

    Attributes:
      layer: Name of the layer.
      kind: Kind of the layer.
      unit: (row, column) of the unit in the layer's maps; None if the layer has no maps and depends on all positions.
      box: Theoretical field as (top, left, height, width) in pixels of the image; it may extend beyond the image.
      gradients: Root mean square, over images and channels, of the gradients of the unit with respect to a pixel, where
        the squares are summed over the pixel's channels.
    """

    layer: str
    kind: str
    unit: tuple[int, int] | None
    box: tuple[int, int, int, int]
    gradients: Float[np.ndarray, "h w"]

    @property
    def theoretical_size(self) -> float:
        """Square root of the theoretical field's area, in pixels, including the padding around the image."""
        return math.sqrt(self.box[2] * self.box[3])

    @property
    def size_inside(self) -> float:
        """Square root of the area of the theoretical field inside the image, in pixels."""
        spans = [
            max(0, min(first + size, pixels) - max(first, 0))
            for first, size, pixels in zip(self.box[:2], self.box[2:], self.gradients.shape, strict=True)
        ]
        return math.sqrt(math.prod(spans))

    @property
    def effective(self) -> Bool[np.ndarray, "h w"]:
        """Mask of the effective field: pixels whose gradient exceeds 4.55 % of the maximum."""
        return self.gradients > THRESHOLD * self.gradients.max()

    @property
    def effective_size(self) -> float:
        """Square root of the effective field's area, in pixels; 0 if the unit depends on no pixel."""
        return math.sqrt(self.effective.sum())

    def row(self) -> dict[str, object]:
        """Row of the table, with sizes in pixels."""
        return {
            "layer": self.layer,
            "kind": self.kind,
            "theoretical_height": self.box[2],
            "theoretical_width": self.box[3],
            "theoretical_size": round(self.theoretical_size, 3),
            "size_inside_image": round(self.size_inside, 3),
            "effective_size": round(self.effective_size, 3),
            "effective_share": round((self.effective_size / self.size_inside) ** 2, 4) if self.size_inside else None,
        }


def receptive_fields(
    model: Model,
    variables: Variables,
    images: Float[Array, "b h w c"],
    key: PRNGKeyArray,
    layers: Sequence[str] | None = None,
) -> tuple[ReceptiveField, ...]:
    """Computes the receptive field of the middle unit of each layer.

    The theoretical field is that of the layer table. The effective field is measured: for each image, the unit's
    channels are summed with random signs, and the gradient of the sum is squared. Its expectation over the signs is the
    sum of the channels' squared gradients.

    Args:
      model: Network.
      variables: Its variables.
      images: Normalised pixels; the gradients are averaged over them.
      key: Random key of the signs.
      layers: Names in the layer table; defaults to `growing_layers`.

    Returns:
      The fields in the order of `layers`.

    Raises:
      GeometryError: If the images are too small for a layer.
      ValueError: For a layer that does not exist or does not run in evaluation, without images, or if a gradient is not
        finite.

    Source: Luo, Li, Urtasun and Zemel, "Understanding the effective receptive field in deep convolutional neural
      networks", 2016, sections 2 and 3.
    """
    pixels = np.asarray(images, np.float32)
    if pixels.ndim != 4 or not len(pixels):
        raise ValueError(f"images with shape {pixels.shape}: expected (images, height, width, channels)")
    shape = (pixels.shape[1], pixels.shape[2], pixels.shape[3])
    rows = {row.name: row for row in geometry.locate(model.layers(shape), shape)}
    names = growing_layers(model, shape) if layers is None else tuple(layers)
    if unknown := [name for name in names if name not in rows]:
        raise ValueError(unknown_layer(unknown[0], rows))
    squares = _squared_gradients(model, variables, pixels, key, names)
    if not np.isfinite(squares).all():
        raise ValueError("the network gives gradients that are not finite")
    return tuple(
        ReceptiveField(name, rows[name].kind, *_middle_unit(rows[name]), gradients=np.sqrt(mean))
        for name, mean in zip(names, squares, strict=True)
    )


def growing_layers(model: Model, image_shape: tuple[int, int, int]) -> tuple[str, ...]:
    """Lists the layers whose receptive field is larger than those of all layers before.

    If branches are joined after such a layer, the sum or concatenation is listed instead. Layers of auxiliary
    classifiers are omitted.

    Args:
      model: Network.
      image_shape: (height, width, channels) of an image in pixels.

    Returns:
      Names in the order of computation.

    Raises:
      GeometryError: If the image is too small for a layer.
    """
    rows = geometry.locate(model.layers(image_shape), image_shape)
    needed, listed, largest = _needed_rows(rows), [], 1
    for number, row in enumerate(rows):
        area = math.prod(row.receptive_field)
        if number not in needed or row.kind in ("flatten", "dropout"):  # their units depend on a single position
            continue
        if area > largest:
            listed.append(row.name)
            largest = area
        elif row.kind in ("add", "concat") and area == largest:
            listed[-1] = row.name
    return tuple(listed)


def _needed_rows(rows: Sequence[LayerGeometry]) -> set[int]:
    """Returns the indices of the rows that the logits depend on."""
    needed: set[int] = set()
    waiting = {len(rows) - 1}
    while waiting:
        number = waiting.pop()
        needed.add(number)
        waiting |= set(rows[number].sources) - needed - {IMAGE}
    return needed


def _middle_unit(row: LayerGeometry) -> tuple[tuple[int, int] | None, tuple[int, int, int, int]]:
    """Returns the middle unit of a layer and its theoretical field."""
    unit = (row.output_shape[0] // 2, row.output_shape[1] // 2) if len(row.output_shape) == 3 else None
    starts = [
        round(centre - (size - 1) / 2 + place * jump)
        for centre, size, place, jump in zip(row.centre, row.receptive_field, unit or (0, 0), row.jump, strict=True)
    ]
    return unit, (starts[0], starts[1], *row.receptive_field)


def _squared_gradients(
    model: Model, variables: Variables, pixels: Images, key: PRNGKeyArray, names: tuple[str, ...]
) -> Float[np.ndarray, "l h w"]:
    """Computes the mean squared gradients over the images, per channel of the layer."""
    count = len(pixels)
    size = batch_size(pixels.shape[1:3], count)
    sums = np.zeros((len(names), *pixels.shape[1:3]))
    for start in range(0, count, size):
        numbers = np.arange(start, start + size)
        weights = (numbers < count).astype(np.float32)
        keys = jax.vmap(jax.random.fold_in, (None, 0))(key, numbers)
        batch = pixels[np.minimum(numbers, count - 1)]
        for place in range(len(names)):
            sums[place] += np.asarray(_batch_squares(model, names, variables, batch, weights, keys, place))
    return sums / count


@functools.partial(jax.jit, static_argnums=(0, 1))
def _batch_squares(
    model: Model,
    names: tuple[str, ...],
    variables: Variables,
    images: Float[Array, "b h w c"],
    weights: Float[Array, " b"],
    keys: PRNGKeyArray,
    place: Int[Array, ""],
) -> Float[Array, "h w"]:
    """Computes the weighted sum of squared gradients over images, per channel of the layer at an index of `names`.

    One program serves all layers, because compiling a program for each would take longer than it saves.
    """

    def score(images: Array) -> Array:
        outputs = model.apply_with_layers(variables, images, names)[3]
        total = jnp.zeros(())
        for number, name in enumerate(names):
            values = outputs[name].astype(jnp.float32)
            if values.ndim == 4:
                values = values[:, values.shape[1] // 2, values.shape[2] // 2]
            signs = jax.vmap(lambda each, n=values.shape[1]: jax.random.rademacher(each, (n,), jnp.float32))(keys)
            total += jnp.where(place == number, 1 / math.sqrt(values.shape[1]), 0.0) * (values * signs).sum()
        return total

    gradients = jax.grad(score)(images)
    return jnp.einsum("bhwc,b->hw", gradients**2, weights)
