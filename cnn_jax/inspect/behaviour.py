"""Predictions and features of a network on changed pictures."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, UInt8

from cnn_jax.data.device import pipeline
from cnn_jax.data.device.pipeline import Normalization
from cnn_jax.inspect.attribution import apply_in_batches
from cnn_jax.inspect.changes import CHANGES, ChangeName, Pictures, change, levels
from cnn_jax.layer_rows import ACTIVATION, IMAGE
from cnn_jax.models import Model, Variables
from cnn_jax.train import step
from cnn_jax.train.step import StepConfig

_WEIGHTED = frozenset({"conv", "dense", "rbf"})
_BATCH_PIXELS = 2**21  # pixels per batch
_LARGEST_BATCH = 512


@dataclasses.dataclass(frozen=True)
class Behaviour:
    """Behaviour of a network under one change, with one entry per level.

    Attributes:
      change: Kind of the change.
      levels: Strengths of the change, in the units of `changes.UNITS`; the first is 0, the unchanged pictures.
      accuracy: Accuracy on the changed pictures; None without labels.
      agreement: Share of the pictures with the same predicted class as the unchanged picture.
      feature_distance: Mean distance of a picture's features from those of the unchanged picture, divided by the mean
        distance between two pictures: 0 if nothing changes, 1 if a picture becomes as different as another picture. NaN
        if all pictures have the same features.
      images: Number of pictures.
    """

    change: ChangeName
    levels: tuple[float, ...]
    accuracy: Float[np.ndarray, " l"] | None
    agreement: Float[np.ndarray, " l"]
    feature_distance: Float[np.ndarray, " l"]
    images: int

    def rows(self) -> list[dict[str, object]]:
        """The rows of the table."""
        return [
            {
                "change": self.change,
                "level": level,
                "images": self.images,
                "accuracy": None if self.accuracy is None else float(self.accuracy[place]),
                "agreement": float(self.agreement[place]),
                "feature_distance": float(self.feature_distance[place]),
            }
            for place, level in enumerate(self.levels)
        ]


def behave(
    config: StepConfig,
    variables: Variables,
    normalization: Normalization,
    pictures: Pictures,
    labels: Int[np.ndarray, " n"] | None,
    measured: Mapping[ChangeName, Sequence[float]] | None = None,
    seed: int = 0,
) -> tuple[Behaviour, ...]:
    """Measures a network on changed pictures.

    Predictions come from `step.predict`, as in evaluation. Features are the input of the last layer with weights
    (`penultimate`), averaged over all positions for maps.

    Args:
      config: Static part of the network's programs.
      variables: Its variables.
      normalization: Constants that normalise its pictures.
      pictures: Pixels, 0 to 255; at least two, so that pictures have distances.
      labels: Their classes; None if unknown.
      measured: Levels by change; level 0 is added. Defaults to `changes.levels` for all changes.
      seed: Seed of noise and occlusion.

    Returns:
      One entry for each change.

    Raises:
      GeometryError: If the pictures are too small for a layer.
      ValueError: For an unknown change or level, fewer than two pictures, another number of labels than pictures, or if
        a logit or a feature is not finite.
    """
    if len(pictures) < 2:
        raise ValueError(f"{len(pictures)} pictures: expected at least 2, so that distances can be compared")
    if labels is not None and len(labels) != len(pictures):
        raise ValueError(f"{len(labels)} labels: expected {len(pictures)}, one for each picture")
    size = (pictures.shape[1], pictures.shape[2])
    wanted = {name: levels(name, size) for name in CHANGES} if measured is None else measured
    layer = penultimate(config.network, (*size, pictures.shape[3]))

    batch = max(1, min(len(pictures), _LARGEST_BATCH, _BATCH_PIXELS // (size[0] * size[1])))

    def see(name: ChangeName, level: float) -> tuple[np.ndarray, np.ndarray]:
        parts = [
            apply_in_batches(
                lambda some: _logits_and_features(config, layer, variables, normalization, some),
                batch,
                change(name, pictures[first : first + batch], level, seed, first),
            )
            for first in range(0, len(pictures), batch)
        ]
        logits, features = (np.concatenate(part) for part in zip(*parts, strict=True))
        return logits.argmax(axis=1), features

    plain, features = see(CHANGES[0], 0)
    # Each picture is paired with the next one, so that the mean is deterministic.
    between = _mean_distance(features, np.roll(features, -1, axis=0))
    results = []
    for name, chosen in wanted.items():
        strengths = (0, *(level for level in chosen if level != 0))
        predicted, distances = [plain], [0.0]
        for level in strengths[1:]:
            classes, changed = see(name, level)
            predicted.append(classes)
            distances.append(_mean_distance(features, changed))
        results.append(
            Behaviour(
                name,
                strengths,
                None if labels is None else np.array([(some == labels).mean() for some in predicted]),
                np.array([(some == plain).mean() for some in predicted]),
                np.array(distances) / between if between else np.full(len(strengths), np.nan),
                len(pictures),
            )
        )
    return tuple(results)


def _mean_distance(one: Float[np.ndarray, "n f"], other: Float[np.ndarray, "n f"]) -> float:
    return float(np.linalg.norm(one - other, axis=1).mean(dtype=np.float64))


def penultimate(model: Model, image_shape: tuple[int, int, int]) -> str | None:
    """Finds the layer whose output the network's last convolution or dense layer reads.

    Args:
      model: Network.
      image_shape: (height, width, channels) of an image in pixels.

    Returns:
      Name of the layer, followed by "/activation" if an activation follows directly; None if it is the image.

    Raises:
      GeometryError: If the image is too small for a layer.
      ValueError: If the last layer does not follow a single such layer.
    """
    rows = model.layers(image_shape)
    number = len(rows) - 1
    while number != IMAGE:
        sources = rows[number].sources
        if len(sources) != 1:
            raise ValueError(f"layer {rows[number].name} joins several layers, and no layer with weights follows it")
        found = rows[number].kind in _WEIGHTED
        number = sources[0]
        if found:
            break
    if number == IMAGE:
        return None
    name = rows[number].name + ACTIVATION
    return name if name in model.activations(image_shape) else rows[number].name


@functools.partial(jax.jit, static_argnums=(0, 1))
def _logits_and_features(
    config: StepConfig,
    layer: str | None,
    variables: Variables,
    normalization: Normalization,
    pictures: UInt8[Array, "b h w c"],
) -> tuple[Float[Array, "b k"], Float[Array, "b f"]]:
    """Computes the logits as in evaluation, and the features."""
    logits = step.predict(config, variables, pictures, normalization)
    images = pipeline.normalize(pictures, normalization)
    with config.tracing():
        if layer is None:
            features = images.reshape(len(images), -1)
        else:
            features = config.network.apply_with_layers(variables, images, (layer,))[3][layer].astype(jnp.float32)
    return logits, features.mean((1, 2)) if features.ndim == 4 else features
