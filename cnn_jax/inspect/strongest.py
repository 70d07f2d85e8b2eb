"""Strongest responses of a layer's channels over a stream of images, with bounded memory."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Bool, Float, Int

from cnn_jax.geometry.unit_fields import UnitFields
from cnn_jax.models import Model, Variables


@dataclasses.dataclass(frozen=True)
class TopUnits:
    """The `k` units with the strongest responses for each channel of a layer, in decreasing order.

    Attributes:
      layer: Name of the layer, followed by "/activation" if the responses are those of the activation.
      channels: Indices of the channels.
      values: Responses; -inf if there are fewer images than k.
      images: Index of each unit's image in the data set; -1 if there are fewer images than k.
      places: (row, column) of the unit in the layer's map; (0, 0) if the layer has no maps.
      boxes: (top, left, height, width) in pixels of the region that the unit depends on. With circular padding, a box
        may extend beyond the last row or column and continue from the first.
    """

    layer: str
    channels: Int[np.ndarray, " c"]
    values: Float[np.ndarray, "c k"]
    images: Int[np.ndarray, "c k"]
    places: Int[np.ndarray, "c k 2"]
    boxes: Int[np.ndarray, "c k 4"]

    @property
    def silent(self) -> Bool[np.ndarray, " c"]:
        """Mask of the channels whose rectifier is inactive for every image; their patches are arbitrary."""
        return self.values[:, 0] == 0


class StrongestUnits:
    """Strongest units of a layer's channels over the images so far, and their patches.

    Attributes:
      layer: Name of the layer, or of the activation after it.
      channels: Indices of the channels.
      values: Responses in decreasing order, -inf for units not found yet.
      images: Indices of the units' images, -1 for units not found yet.
      places: (row, column) of the units in the layer's map.
      patch_shape: Shape of a patch's array: (height, width) of the layer's largest box, and the image's channels.
      blind: Mask of the units that depend on no pixel, by position and channel; None if there are none.
    """

    def __init__(
        self, layer: str, channels: Int[np.ndarray, " c"], count: int, fields: UnitFields, image_channels: int
    ) -> None:
        """Initializes the search.

        Args:
          layer, channels: As for the attributes.
          count: Units per channel.
          fields: Receptive fields of the units.
          image_channels: Channels of an image.

        Raises:
          ValueError: If a channel has no unit that depends on a pixel.
        """
        self.layer, self.channels = layer, channels
        boxes = [fields.boxes(layer, int(channel)) for channel in channels]
        self._rows, self._columns = (np.stack(axis) for axis in zip(*boxes, strict=True))
        blind = (self._rows[:, :, None, 1] == 0) | (self._columns[:, None, :, 1] == 0)
        if blind.all(axis=(1, 2)).any():
            number = channels[blind.all(axis=(1, 2)).argmax()]
            raise ValueError(f"layer {layer!r}: no unit of channel {number} depends on a pixel")
        self.blind = blind.transpose(1, 2, 0) if blind.any() else None
        self.values = np.full((len(channels), count), -np.inf, np.float32)
        self.images = np.full((len(channels), count), -1)
        self.places = np.zeros((len(channels), count, 2), int)
        self.patch_shape = (int(self._rows[..., 1].max()), int(self._columns[..., 1].max()), image_channels)
        self._slots = np.tile(np.arange(count), (len(channels), 1))  # position of each unit's patch
        self._patches = np.zeros((*self.values.shape, 0))

    @property
    def numbers_kept(self) -> int:
        """Number of values in the patches of all units."""
        return self.values.size * int(np.prod(self.patch_shape, dtype=object))

    @property
    def boxes(self) -> Int[np.ndarray, "c k 4"]:
        """(top, left, height, width) of the region that the units depend on, zeros for units not found yet."""
        channels = np.arange(len(self.channels))[:, None]
        rows, columns = self._rows[channels, self.places[..., 0]], self._columns[channels, self.places[..., 1]]
        boxes = np.stack([rows[..., 0], columns[..., 0], rows[..., 1], columns[..., 1]], axis=-1)
        boxes[self.images < 0] = 0
        return boxes

    def add(
        self,
        images: Float[np.ndarray, "b h w n"],
        first: int,
        values: Float[np.ndarray, "c j"],
        numbers: Int[np.ndarray, "c j"],
        places: Int[np.ndarray, "c j 2"],
    ) -> None:
        """Merges a batch's strongest units with those found so far.

        Ties are broken in favour of earlier images.

        Args:
          images: Normalised images of the batch.
          first: Index of the batch's first image.
          values: Responses in decreasing order, -inf for invalid units.
          numbers: Indices of the units' images in the batch.
          places: (row, column) of the units.
        """
        if not self._patches.size:
            self._patches = np.zeros((*self.values.shape, *self.patch_shape), np.float32)
        count = self.values.shape[1]
        both = np.concatenate([self.values, values], axis=1)
        order = np.argsort(-both, axis=1, kind="stable")[:, :count]
        for channel in np.flatnonzero((order >= count).any(axis=1)).tolist():
            ranks = order[channel]
            free = iter(np.setdiff1d(np.arange(count), self._slots[channel, ranks[ranks < count]]))
            slots = np.array([self._slots[channel, rank] if rank < count else next(free) for rank in ranks])
            found = np.concatenate(
                [self.images[channel], np.where(values[channel] > -np.inf, first + numbers[channel], -1)]
            )
            self.images[channel] = found[ranks]
            self.places[channel] = np.concatenate([self.places[channel], places[channel]])[ranks]
            self.values[channel] = both[channel, ranks]
            self._slots[channel] = slots
            for rank, slot in zip(ranks - count, slots, strict=True):
                if rank >= 0 and values[channel, rank] > -np.inf:
                    self._patches[channel, slot] = self._cut(
                        images[numbers[channel, rank]], channel, places[channel, rank]
                    )

    def patches(self) -> Float[np.ndarray, "c k h w n"]:
        """Returns the patches in the order of the units; nothing may be added afterwards."""
        for channel, slots in enumerate(self._slots):
            self._patches[channel] = self._patches[channel, slots]
        return self._patches

    def _cut(self, image: Float[np.ndarray, "h w n"], channel: int, place: Int[np.ndarray, "2"]) -> np.ndarray:
        (top, height), (left, width) = self._rows[channel, place[0]], self._columns[channel, place[1]]
        patch = np.zeros(self.patch_shape, np.float32)
        patch[:height, :width] = cut(image, (top, left, height, width))
        return patch


def cut(image: Float[np.ndarray, "h w n"], box: Sequence[int]) -> Float[np.ndarray, "bh bw n"]:
    """Cuts a box (top, left, height, width) out of an image, wrapping around at the last pixel."""
    rows, columns = box_pixels(box, image.shape)
    return image[rows[:, None], columns]


def box_pixels(box: Sequence[int], size: Sequence[int]) -> tuple[Int[np.ndarray, " bh"], Int[np.ndarray, " bw"]]:
    """Returns the row and column indices of a box (top, left, height, width) in an image of a size (height, width)."""
    return (np.arange(box[2]) + box[0]) % size[0], (np.arange(box[3]) + box[1]) % size[1]


# More than seven parameters: a network, a batch, and for each layer a mask of its units.
@functools.partial(jax.jit, static_argnums=(0, 4, 5))
def strongest_of_batch(
    model: Model,
    variables: Variables,
    images: Float[Array, "b h w n"],
    there: Bool[Array, " b"],
    layers: tuple[str, ...],
    count: int,
    channels: tuple[Int[Array, " c"], ...],
    blind: tuple[Bool[Array, "oh ow c"] | None, ...],
) -> tuple[tuple[Float[Array, "c k"], Int[Array, "c k"], Int[Array, "c k 2"]], ...]:
    """Finds the images of a batch with the strongest responses of each channel.

    Args:
      model, variables: Network and its variables.
      images: Normalised images.
      there: Mask of the valid images.
      layers: Names of layers.
      count: Images per channel, at most the batch size.
      channels: Channels of each layer.
      blind: Mask of the units to ignore in each layer; None ignores none.

    Returns:
      For each layer (responses in decreasing order, indices of the images in the batch, positions of the units).
      Invalid images have the response -inf; all responses are NaN if one of the layer is not finite.
    """
    outputs = model.apply_with_layers(variables, images, layers)[3]
    results = []
    for layer, numbers, unseeing in zip(layers, channels, blind, strict=True):
        maps = as_maps(outputs[layer])
        finite = jnp.isfinite(maps).all()  # the maximum of several values need not be NaN if one is
        if unseeing is not None:
            maps = jnp.where(unseeing, -jnp.inf, maps[..., numbers])
            numbers = jnp.arange(len(numbers))
        columns = maps.shape[2]
        flat = maps.reshape(len(maps), -1, maps.shape[-1])
        best = jnp.where(there, flat.max(axis=1)[:, numbers].T, -jnp.inf)
        values, which = lax.top_k(best, count)
        values = jnp.where(finite, values, jnp.nan)
        place = flat[which, :, numbers[:, None]].argmax(axis=-1)
        results.append((values, which, jnp.stack([place // columns, place % columns], axis=-1)))
    return tuple(results)


def as_maps(output: Array) -> Float[Array, "b oh ow c"]:
    """Returns the output of a layer in float32, with 1x1 maps for a layer without maps."""
    return (output if output.ndim == 4 else output[:, None, None]).astype(jnp.float32)
