"""Outputs of layers for images: feature maps, or the values of dense layers."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import jax
import numpy as np
from jaxtyping import Array, Float

from cnn_jax.inspect.attribution import batch_size
from cnn_jax.models import Model, Variables


def layer_outputs(
    model: Model, variables: Variables, images: Float[np.ndarray, "b h w c"], layers: Sequence[str]
) -> dict[str, Float[np.ndarray, "b ..."]]:
    """Computes the outputs of layers in one pass.

    Args:
      model: Network.
      variables: Its variables.
      images: Normalised pixels.
      layers: Names from the layer table; "/activation" after a name selects the output of the activation that follows.

    Returns:
      Outputs by name, in float32: maps [b, h, w, channels], or values [b, units]. Values may be not finite.

    Raises:
      GeometryError: If the images are too small for a layer.
      ValueError: For an unknown layer.
    """
    size, names = batch_size(images.shape[1:3], len(images)), tuple(layers)
    parts = []
    for start in range(0, len(images), size):
        numbers = np.minimum(np.arange(start, start + size), len(images) - 1)
        parts.append(jax.tree.map(np.asarray, _outputs(model, variables, images[numbers], names)))
    return {name: np.concatenate([part[name] for part in parts])[: len(images)].astype(np.float32) for name in names}


@functools.partial(jax.jit, static_argnums=(0, 3))
def _outputs(
    model: Model, variables: Variables, images: Float[Array, "b h w c"], layers: tuple[str, ...]
) -> dict[str, Array]:
    return model.apply_with_layers(variables, images, layers)[3]
