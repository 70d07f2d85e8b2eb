"""Activation maximisation: pictures that maximize the response of a channel, or the logit of a class.

A picture is the sigmoid of an inverse Fourier transform. The spectrum is scaled by 1/f, like the spectra of natural
images, and the colours of a picture with three channels are decorrelated by the statistics of photographs. Adam
optimizes the spectrum to increase the response to randomly transformed copies of the picture. At every step the pixels
are within 0 to 255, and the network receives them normalised like its own images.

Source: Olah, Mordvintsev and Schubert, "Feature visualization", 2017; Mordvintsev, Pezzotti, Schubert and Olah,
"Differentiable image parameterizations", 2018.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import zlib
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.scipy.ndimage import map_coordinates
from jaxtyping import Array, Float, Int, PRNGKeyArray, UInt8

from cnn_jax.data.device import pipeline
from cnn_jax.data.device.pipeline import Normalization
from cnn_jax.inspect.attribution import apply_in_batches, batch_size
from cnn_jax.models import Model, Variables

Objective = Literal["mean", "centre"]

# Columns: the principal components of the colours of ImageNet's photographs, scaled by their standard
# deviations (lucid's `color_correlation_svd_sqrt`). The longest is scaled to 1 below.
_COLOURS = np.array([[0.26, 0.09, 0.02], [0.27, 0.00, -0.05], [0.27, -0.09, 0.03]], np.float32)
_DECORRELATED = _COLOURS / np.linalg.norm(_COLOURS, axis=0).max()
_START = 0.01  # standard deviation of the initial spectrum: nearly grey
_CONTRAST = 4.0  # divisor of the values before the sigmoid
_LEAK = 0.01  # weight of negative responses, so that a channel that is silent at the start has a gradient
_SEARCH_FLOP = 1.6e12  # for all searches together: about ten seconds on two cores
_FEWEST_STEPS = 16


@dataclasses.dataclass(frozen=True)
class Search:
    """Settings of activation maximisation.

    Attributes:
      objective: Quantity to maximise in a layer with maps: "mean", the mean of a channel's positive responses over all
        positions, or "centre", the response of the unit in the middle. In other layers, both are the unit's response.
      steps: Steps of Adam.
      learning_rate: Learning rate of Adam.
      jitter: Maximum shift of a copy as a share of the picture's shorter side, rounded to pixels.
      scale: Maximum relative change of a copy's size: 0.1 draws factors from 0.9 to 1.1.
      rotation: Maximum rotation of a copy in either direction, in degrees.
    """

    objective: Objective = "mean"
    steps: int = 128
    learning_rate: float = 0.1
    jitter: float = 0.06
    scale: float = 0.1
    rotation: float = 5.0

    def __post_init__(self) -> None:
        if self.objective not in ("mean", "centre"):
            raise ValueError(f"objective={self.objective!r}: expected mean or centre")
        if self.steps < 1:
            raise ValueError(f"steps={self.steps}: expected at least 1")
        if not 0 < self.learning_rate < math.inf:
            raise ValueError(f"learning_rate={self.learning_rate}: expected a positive number")
        for name in ("jitter", "scale"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name}={getattr(self, name)}: expected a share from 0 to below 1")
        if not 0 <= self.rotation <= 180:
            raise ValueError(f"rotation={self.rotation}: expected 0 to 180 degrees")

    def shortened(self, multiply_adds: int, units: int) -> Search:
        """Reduces the number of steps for large networks, for which the search would take minutes.

        Args:
          multiply_adds: Multiply-adds of one image's forward pass (`geometry.Summary.multiply_adds`).
          units: Number of pictures.

        Returns:
          The same settings with fewer or equally many steps.
        """
        affordable = int(_SEARCH_FLOP / (6 * max(1, multiply_adds) * max(1, units)))
        return dataclasses.replace(self, steps=min(self.steps, max(_FEWEST_STEPS, affordable)))


@dataclasses.dataclass(frozen=True)
class MaximizedActivations:
    """Pictures that maximize channels of one layer.

    Attributes:
      layer: Name of the layer.
      search: Settings of the search.
      channels: Channel of each picture, from 0; for logits, the class.
      pictures: Pixels, 0 to 255.
      responses: Objective of each picture, for exactly the pixels in `pictures`, without transformation.
      start_responses: Objective of each initial picture, without transformation.
    """

    layer: str
    search: Search
    channels: Int[np.ndarray, " n"]
    pictures: UInt8[np.ndarray, "n h w c"]
    responses: Float[np.ndarray, " n"]
    start_responses: Float[np.ndarray, " n"]


def maximize(
    model: Model,
    variables: Variables,
    normalization: Normalization,
    image_shape: tuple[int, int, int],
    units: Mapping[str, Sequence[int]],
    key: PRNGKeyArray,
    search: Search = Search(),
) -> tuple[MaximizedActivations, ...]:
    """Searches for pictures that maximize the response of channels.

    A picture depends on the key, its layer and its channel, not on other pictures. All share one program.

    Args:
      model: Network.
      variables: Its variables.
      normalization: Constants that normalise the network's images.
      image_shape: (height, width, channels) of the pictures in pixels.
      units: Channels, from 0, by layer name. "/activation" after a name selects the output of the activation that
        follows. Classes are channels of the last layer.
      key: Random key of the initial pictures and the transformations.
      search: Settings of the search.

    Returns:
      One entry for each layer, in the order of `units`.

    Raises:
      GeometryError: If the pictures are too small for a layer.
      ValueError: For an unknown layer or channel, without channels, if the pictures have another number of channels
        than the constants, or if a response is not finite.
    """
    if len(normalization.mean) != image_shape[2]:
        raise ValueError(
            f"pictures of {image_shape[2]} channels: expected {len(normalization.mean)}, those of the constants that "
            "normalise them"
        )
    layers = tuple(units)
    if not any(map(len, units.values())):
        raise ValueError("no channel to search for: name at least one")
    widths = _channel_counts(model, variables, image_shape, layers)
    offsets = dict(zip(layers, np.cumsum([0, *widths[:-1]]).tolist(), strict=True))
    for layer, width in zip(layers, widths, strict=True):
        for channel in units[layer]:
            if not 0 <= channel < width:
                raise ValueError(f"channel {channel} of layer {layer!r}: expected 0 to {width - 1}")
    chosen = np.array([offsets[layer] + channel for layer in layers for channel in units[layer]], np.int32)
    folds = np.array([(zlib.crc32(layer.encode()), channel) for layer in layers for channel in units[layer]], np.uint32)
    constants = (variables, normalization, key)
    start_responses, pictures, reached = apply_in_batches(
        lambda *batch: _search(model, image_shape, layers, search, constants, batch),
        batch_size(image_shape[:2], len(chosen)),
        chosen,
        folds,
    )
    results, first = [], 0
    for layer in layers:
        part = slice(first, first + len(units[layer]))
        channels = np.array(units[layer], np.int32)
        results.append(
            MaximizedActivations(layer, search, channels, pictures[part], reached[part], start_responses[part])
        )
        first = part.stop
    return tuple(results)


def responses(
    model: Model,
    variables: Variables,
    images: Float[Array, "b h w c"],
    layers: Sequence[str],
    objective: Objective = "mean",
) -> dict[str, Float[np.ndarray, "b n"]]:
    """Computes the objective of a search for given images, such as test images, for comparison.

    Args:
      model: Network.
      variables: Its variables.
      images: Normalised pixels.
      layers: Names of layers, as for `maximize`.
      objective: As in `Search`.

    Returns:
      The responses of all channels, by layer.

    Raises:
      GeometryError, ValueError: As for `maximize`.
    """
    pixels, names = np.asarray(images, np.float32), tuple(layers)
    widths = _channel_counts(model, variables, (pixels.shape[1], pixels.shape[2], pixels.shape[3]), names)
    whole = apply_in_batches(
        lambda batch: _responses(model, names, objective, variables, batch),
        batch_size(pixels.shape[1:3], len(pixels)),
        pixels,
    )
    return dict(zip(names, np.split(whole, np.cumsum(widths)[:-1], axis=1), strict=True))


def _channel_counts(
    model: Model, variables: Variables, image_shape: tuple[int, int, int], layers: tuple[str, ...]
) -> list[int]:
    """Returns the numbers of channels of layers; refuses unknown layers."""
    images = jax.ShapeDtypeStruct((1, *image_shape), jnp.float32)
    outputs = jax.eval_shape(lambda v, x: model.apply_with_layers(v, x, layers)[3], variables, images)
    return [outputs[layer].shape[-1] for layer in layers]


def _objectives(
    model: Model, layers: tuple[str, ...], objective: Objective, variables: Variables, images: Array, leak: float
) -> Float[Array, "b n"]:
    """Computes the objectives of all channels of all layers, concatenated."""
    outputs = model.apply_with_layers(variables, images, layers)[3]
    reduced = []
    for layer in layers:
        values = outputs[layer].astype(jnp.float32)
        if values.ndim > 2 and objective == "mean":
            values = jnp.where(values > 0, values, leak * values).mean((1, 2))
        elif values.ndim > 2:
            values = values[:, values.shape[1] // 2, values.shape[2] // 2]
        reduced.append(values)
    return jnp.concatenate(reduced, axis=1)


@functools.partial(jax.jit, static_argnums=(0, 1, 2))
def _responses(
    model: Model, layers: tuple[str, ...], objective: Objective, variables: Variables, images: Float[Array, "b h w c"]
) -> Float[Array, "b n"]:
    return _objectives(model, layers, objective, variables, images, leak=0)


@functools.partial(jax.jit, static_argnums=(0, 1, 2, 3))
def _search(
    model: Model,
    image_shape: tuple[int, int, int],
    layers: tuple[str, ...],
    search: Search,
    constants: tuple[Variables, Normalization, PRNGKeyArray],
    units: tuple[Int[Array, " n"], Int[Array, "n 2"]],
) -> Any:
    """Returns the initial responses, the pictures and their responses, for units given by index and key number."""
    (variables, normalization, key), (places, folds) = constants, units
    height, width, depth = image_shape
    keys = jax.vmap(lambda each: jax.random.fold_in(jax.random.fold_in(key, each[0]), each[1]))(folds)
    start_keys, move_keys = jnp.moveaxis(jax.vmap(jax.random.split)(keys), 1, 0)
    shape = (2, height, width // 2 + 1, depth)  # real and imaginary parts
    start = _START * jax.vmap(lambda each: jax.random.normal(each, shape))(start_keys)
    optimizer = optax.adam(search.learning_rate)

    def respond(pixels: Array, leak: float) -> Array:
        images = pipeline.normalize(pixels, normalization)
        values = _objectives(model, layers, search.objective, variables, images, leak)
        return jnp.take_along_axis(values, places[:, None], axis=1)[:, 0]

    def loss(spectrum: Array, number: Array) -> Array:
        now = jax.vmap(lambda each: jax.random.fold_in(each, number))(move_keys)
        moved = jax.vmap(functools.partial(_transformed, search=search))(_pixels(spectrum, width), now)
        return -respond(moved, _LEAK).sum()

    def step(carry: Any, number: Array) -> Any:
        spectrum, state = carry
        updates, state = optimizer.update(jax.grad(loss)(spectrum, number), state)
        return (spectrum + updates, state), None

    (found, _), _ = jax.lax.scan(step, (start, optimizer.init(start)), jnp.arange(search.steps))
    shown = jnp.stack([jnp.rint(_pixels(spectrum, width)).astype(jnp.uint8) for spectrum in (start, found)])
    start_responses, reached = jax.lax.map(lambda pixels: respond(pixels, 0), shown)
    return start_responses, shown[1], reached


def _pixels(spectrum: Float[Array, "n 2 h f c"], width: int) -> Float[Array, "n h w c"]:
    """Converts spectra to pixels, 0 to 255."""
    height = spectrum.shape[2]
    rows, columns = np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None]
    frequencies = np.maximum(np.sqrt(rows**2 + columns**2), 1 / max(height, width))
    energies = (math.sqrt(height * width) / frequencies).astype(np.float32)[None, :, :, None]
    complete = jax.lax.complex(spectrum[:, 0] * energies, spectrum[:, 1] * energies)
    values = jnp.fft.irfft2(complete, s=(height, width), axes=(1, 2)) / _CONTRAST
    if values.shape[-1] == 3:
        values = jnp.einsum("nhwk,ck->nhwc", values, _DECORRELATED, precision="highest")
    return 255 * jax.nn.sigmoid(values)


def _transformed(pixels: Float[Array, "h w c"], key: PRNGKeyArray, search: Search) -> Float[Array, "h w c"]:
    """Shifts, scales and rotates a picture at random about its middle; the edge is repeated outside."""
    if search.jitter == search.scale == search.rotation == 0:
        return pixels
    shift_key, scale_key, turn_key = jax.random.split(key, 3)
    largest = round(search.jitter * min(pixels.shape[:2]))
    shift = jax.random.randint(shift_key, (2,), -largest, largest + 1)
    factor = 1 + search.scale * jax.random.uniform(scale_key, minval=-1, maxval=1)
    angle = math.radians(search.rotation) * jax.random.uniform(turn_key, minval=-1, maxval=1)
    turn = jnp.array([[jnp.cos(angle), -jnp.sin(angle)], [jnp.sin(angle), jnp.cos(angle)]]) / factor
    places = np.indices(pixels.shape[:2]).astype(np.float32)
    middle = np.array([(size - 1) / 2 for size in pixels.shape[:2]], np.float32)[:, None, None]
    sources = jnp.einsum("ij,jhw->ihw", turn, places - middle, precision="highest") + middle + shift[:, None, None]
    sample = functools.partial(map_coordinates, coordinates=list(sources), order=1, mode="nearest")
    return jax.vmap(sample, in_axes=-1, out_axes=-1)(pixels)
