"""Effect of padding at the border: mean activations by distance from the border, for each padding dialect."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from cnn_jax import models
from cnn_jax.config import Model as ModelConfig
from cnn_jax.inspect.attribution import Images, apply_in_batches, batch_size
from cnn_jax.layer_rows import ACTIVATION, IMAGE, LayerRow
from cnn_jax.models import Model, Variables
from cnn_jax.ops import GeometryError
from cnn_jax.ops.padding import Padding
from cnn_jax.padding_dialects import DIALECTS, border_mode

_LAYERS = 6  # maximum number of default layers


@dataclasses.dataclass(frozen=True)
class LayerBorder:
    """Mean activations of one layer under one padding.

    Attributes:
      paddings: Padding dialects that are identical for this network; the network's own comes first, if included.
      own: Whether the network was trained with this padding.
      layer: Name of the layer or activation.
      means: Mean over images and channels at each position.
    """

    paddings: tuple[str, ...]
    own: bool
    layer: str
    means: Float[np.ndarray, "oh ow"]

    @property
    def distances(self) -> Int[np.ndarray, "oh ow"]:
        """Distance of each position from the nearest border, 0 in the outermost rows and columns."""
        down, right = (np.minimum(np.arange(size), np.arange(size)[::-1]) for size in self.means.shape)
        return np.minimum(down[:, None], right[None])

    @property
    def profile(self) -> Float[np.ndarray, " d"]:
        """Mean over the positions of each distance, from 0."""
        distances = self.distances.ravel()
        return np.bincount(distances, self.means.ravel()) / np.bincount(distances)

    def rows(self) -> list[dict[str, object]]:
        """The rows of the table."""
        counts = np.bincount(self.distances.ravel())
        return [
            {
                "padding": "/".join(self.paddings),
                "own": self.own,
                "layer": self.layer,
                "distance": distance,
                "places": int(counts[distance]),
                "mean_activation": float(mean),
            }
            for distance, mean in enumerate(self.profile)
        ]


def border_effects(
    config: ModelConfig,
    num_classes: int,
    variables: Variables,
    images: Float[Array, "b h w c"],
    layers: Sequence[str] | None = None,
    paddings: Sequence[Padding] = tuple(DIALECTS),
) -> tuple[LayerBorder, ...]:
    """Computes mean activations by position, with the network's own padding and with others.

    The trained weights are used in all cases. The results under another padding are those of this network, not those of
    a network trained with that padding. Only the padding of convolutions changes, not of pooling.

    Args:
      config: Config of the network.
      num_classes: Number of its logits.
      variables: Its variables.
      images: Normalised pixels. Borders of the images themselves also have an effect, unless they are `rolled`.
      layers: Names of layers that have maps, with "/activation" after a name for the activation that follows. Defaults
        to up to six evenly spread activations, or convolutions if there are none.
      paddings: Paddings to compare with the network's own. Those that are not possible for the images are skipped, and
        identical ones are computed once.

    Returns:
      One entry for each padding and each layer, the network's own padding first.

    Raises:
      GeometryError: If the images are too small for the network itself.
      ValueError: For an unknown layer or one without maps, or if a mean is not finite.
    """
    pixels = np.asarray(images, np.float32)
    shape = (pixels.shape[1], pixels.shape[2], pixels.shape[3])
    own = models.create(config, num_classes)
    names = default_layers(own, shape) if layers is None else tuple(layers)
    _check_maps(own, variables, shape, names)
    groups: dict[Any, tuple[Model, list[str]]] = {_pads(own.layers(shape)): (own, [_label(config.padding)])}
    for padding in paddings:
        other = models.create(_with_padding(config, padding), num_classes)
        try:
            rows = other.layers(shape)
        except GeometryError:
            continue
        _, labels = groups.setdefault(_pads(rows), (other, []))
        if _label(padding) not in labels:
            labels.append(_label(padding))
    results = []
    for model, labels in groups.values():
        known, trained = _transfer_variables(model, variables, shape)
        shown = tuple(name for name in names if name.removesuffix(ACTIVATION) in trained)
        means = apply_in_batches(
            lambda batch, model=model, known=known, shown=shown: _means(model, shown, known, batch),
            batch_size(shape[:2], len(pixels)),
            pixels,
        )
        results += [
            LayerBorder(tuple(labels), model is own, name, mean.mean(axis=0, dtype=np.float64))
            for name, mean in zip(shown, means, strict=True)
        ]
    return tuple(results)


def rolled(images: Float[np.ndarray, "b h w c"], seed: int = 0) -> Images:
    """Rolls every image by a random number of rows and columns.

    Afterwards all positions of the images are alike on average. Under CIRCULAR padding a profile is then flat up to
    chance, and any other shape is caused by the padding.

    Args:
      images: Images.
      seed: Seed of the offsets.

    Returns:
      The rolled images.
    """
    height, width = images.shape[1:3]
    rng = np.random.default_rng(seed)
    rows = (np.arange(height) + rng.integers(height, size=(len(images), 1))) % height
    columns = (np.arange(width) + rng.integers(width, size=(len(images), 1))) % width
    return images[np.arange(len(images))[:, None, None], rows[:, :, None], columns[:, None]]


def default_layers(model: Model, image_shape: tuple[int, int, int]) -> tuple[str, ...]:
    """Lists up to six activations with maps larger than 1x1, or convolutions if there are none.

    Args:
      model: Network.
      image_shape: (height, width, channels) of an image in pixels.

    Returns:
      Names in the order of computation, the first and the last among them.

    Raises:
      GeometryError: If the image is too small for a layer.
    """
    rows = {row.name: row for row in model.layers(image_shape)}
    maps = [name for name, row in rows.items() if len(row.output_shape) == 3 and max(row.output_shape[:2]) > 1]
    names = [name for name in model.activations(image_shape) if name.removesuffix(ACTIVATION) in maps]
    names = names or [name for name in maps if rows[name].kind == "conv"]
    chosen = np.unique(np.linspace(0, len(names) - 1, min(_LAYERS, len(names))).round().astype(int))
    return tuple(names[number] for number in chosen)


def _check_maps(model: Model, variables: Variables, shape: tuple[int, int, int], names: tuple[str, ...]) -> None:
    image = jax.ShapeDtypeStruct((1, *shape), jnp.float32)
    outputs = jax.eval_shape(lambda v, x: model.apply_with_layers(v, x, names)[3], variables, image)
    for name in names:
        if outputs[name].ndim != 4:
            raise ValueError(f"layer {name!r} has no maps and therefore no border")


def _with_padding(config: ModelConfig, padding: Padding) -> ModelConfig:
    """Returns the config with one padding for all convolutions."""
    fields = [name for name in ("padding", "stem_padding") if name in type(config).model_fields]
    return config.model_copy(update=dict.fromkeys(fields, padding))


def _pads(rows: Sequence[LayerRow]) -> tuple[object, ...]:
    """Lists each layer's padding, in pixels and border mode; equal for networks that pad alike."""
    return tuple((row.name, row.output_shape, row.pads, _border(row)) for row in rows)


def _border(row: LayerRow) -> str | None:
    if row.pads is None or row.pads == ((0, 0), (0, 0)):
        return None
    return border_mode(row.padding)


def _label(padding: Any) -> str:
    """Returns a short label of a padding."""
    if isinstance(padding, str):
        return padding
    named = {entry for entry in padding if isinstance(entry, str)} if isinstance(padding, tuple) else set()
    if named and len(set(padding)) == 1:
        return named.pop()
    return " ".join(str(padding).split()) if isinstance(padding, int) else "explicit"


def _transfer_variables(model: Model, variables: Variables, shape: tuple[int, int, int]) -> tuple[Variables, set[str]]:
    """Transfers trained variables to a network whose dense layers may have other input sizes.

    Returns:
      Variables of the network, zero where the trained ones do not fit, and the names of the layers that depend only on
      trained ones.
    """
    needed = model.variable_shapes(shape)
    trained = dict(jax.tree_util.tree_leaves_with_path(dict(variables)))
    wrong = set()

    def fill(path: Any, leaf: Any) -> Any:
        fitting = trained.get(path)
        if fitting is not None and fitting.shape == leaf.shape:
            return fitting
        wrong.add("/".join(str(key.key) for key in path[1:-1]))
        return np.zeros(leaf.shape, leaf.dtype)

    known: Variables = jax.tree_util.tree_map_with_path(fill, dict(needed))
    rows, good = model.layers(shape), []
    for number, row in enumerate(rows):
        if row.name not in wrong and all(source == IMAGE or source in good for source in row.sources):
            good.append(number)
    return known, {rows[number].name for number in good}


@functools.partial(jax.jit, static_argnums=(0, 1))
def _means(
    model: Model, layers: tuple[str, ...], variables: Variables, images: Float[Array, "b h w c"]
) -> tuple[Float[Array, "b oh ow"], ...]:
    """Computes the means over the channels."""
    outputs = model.apply_with_layers(variables, images, layers)[3]
    return tuple(outputs[layer].astype(jnp.float32).mean(-1) for layer in layers)
