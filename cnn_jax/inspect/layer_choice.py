"""Selection of layers to inspect: by name, or by default on the path from the image to the logits."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cnn_jax.inspect.grad_cam import PASSING, last_maps, on_all_paths
from cnn_jax.layer_rows import ACTIVATION
from cnn_jax.models import Model
from cnn_jax.words import unknown_layer


class UnknownLayerError(ValueError):
    """A name that no layer has; the message lists the valid names."""


def layer_names(model: Model, image_shape: tuple[int, int, int]) -> tuple[str, ...]:
    """Lists the layers whose outputs can be read in evaluation.

    Args:
      model: Network.
      image_shape: (height, width, channels) of an image in pixels.

    Returns:
      Names in the order of computation; an activation follows the layer it is named after.
    """
    activations = set(model.activations(image_shape))
    names = []
    for name in _evaluation_layers(model, image_shape):
        names += [name, *([name + ACTIVATION] if name + ACTIVATION in activations else [])]
    return tuple(names)


def check_names(model: Model, image_shape: tuple[int, int, int], names: Sequence[str]) -> None:
    """Checks that the names are names of layers.

    Args:
      model: Network.
      image_shape: (height, width, channels) of an image in pixels.
      names: Names to check.

    Raises:
      UnknownLayerError: For the first unknown name; the message has the nearest name and all valid names.
    """
    known = layer_names(model, image_shape)
    for name in names:
        if name in known:
            continue
        if name in (row.name for row in model.layers(image_shape)):
            raise UnknownLayerError(f"layer {name!r} only runs in training; the others are: {', '.join(known)}")
        raise UnknownLayerError(unknown_layer(name, known))


def standard_layers(model: Model, image_shape: tuple[int, int, int], count: int) -> tuple[str, ...]:
    """Chooses evenly spread layers with maps on all paths from the image to the logits, in order.

    Layers that only pass maps on, such as pooling, do not count. If an activation follows a layer, its output is used.
    The last one is `last_maps`.

    Args:
      model: Network.
      image_shape: (height, width, channels) of an image in pixels.
      count: Maximum number of layers.

    Returns:
      Names, followed by "/activation" if an activation follows the layer.
    """
    rows, activations = model.layers(image_shape), set(model.activations(image_shape))
    trunk = []
    for number, row in enumerate(rows):
        if len(row.output_shape) != 3 or row.kind in PASSING or not on_all_paths(rows, number):
            continue
        trunk.append(row.name + ACTIVATION if row.name + ACTIVATION in activations else row.name)
    rectified = [name for name in trunk if name.endswith(ACTIVATION)]
    last = last_maps(model, image_shape)
    choice = rectified if last in rectified else trunk
    before = choice[: choice.index(last) + 1] if last in choice else choice
    places = np.unique(np.linspace(0, len(before) - 1, min(count, len(before))).round().astype(int))
    return tuple(before[place] for place in places)


def _evaluation_layers(model: Model, image_shape: tuple[int, int, int]) -> list[str]:
    """Returns the names of the layers that the logits depend on, without auxiliary classifiers."""
    rows = model.layers(image_shape)
    needed, open_rows = set(), [len(rows) - 1]
    while open_rows:
        number = open_rows.pop()
        if number >= 0 and number not in needed:
            needed.add(number)
            open_rows.extend(rows[number].sources)
    return [row.name for number, row in enumerate(rows) if number in needed]
