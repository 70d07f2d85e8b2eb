"""Grad-CAM: heatmaps of the positions in a layer's maps that increase a class's logit."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from cnn_jax.inspect.attribution import Images, checked, guided_backprop, in_batches
from cnn_jax.layer_rows import ACTIVATION, IMAGE, LayerRow
from cnn_jax.models import Model, Variables
from cnn_jax.words import by

LOGITS = "logits"  # layer of a head with one value, or one map, per class
# Kinds of layers that only rearrange or scale maps.
PASSING = frozenset({"max_pool", "avg_pool", "min_pool", "adaptive_avg_pool", "lrn", "pad", "crop", "scale", "dropout"})


class GradCam(NamedTuple):
    """Grad-CAM of images.

    Attributes:
      layer: Name of the layer.
      weights: Weight of each map of the layer: the mean of the logit's gradient over the map.
      maps: Signed weighted sum of the layer's maps, in the layer's size.
      heatmaps: Positive part of `maps`, upsampled to the images, not scaled.
    """

    layer: str
    weights: Float[np.ndarray, "b n"]
    maps: Float[np.ndarray, "b oh ow"]
    heatmaps: Float[np.ndarray, "b h w"]

    @property
    def remarks(self) -> tuple[str | None, ...]:
        """For each image, a note if the heatmap is zero everywhere, else None."""
        return tuple(map(_remark, self.maps))


def grad_cam(
    model: Model,
    variables: Variables,
    images: Float[Array, "b h w c"],
    classes: Int[Array, " b"],
    layer: str | None = None,
) -> GradCam:
    """Sums the maps of a layer, weighted by the mean gradients of a class's logit.

    Args:
      model: Network.
      variables: Its variables.
      images: Normalised pixels.
      classes: Class of each image, from 0.
      layer: Name of a layer with maps; "/activation" after the name selects the output of the activation that follows.
        Defaults to `last_maps`.

    Returns:
      The maps, and heatmaps upsampled bilinearly to the images' size.

    Raises:
      GeometryError: If the images are too small for a layer.
      ValueError: If images, classes and network do not match, a result is not finite, or the layer is unknown or has no
        maps.

    Source: Selvaraju, Cogswell, Das, Vedantam, Parikh and Batra, "Grad-CAM: visual explanations from deep networks via
      gradient-based localization", 2017, section 3, equations 1 and 2.
    """
    pixels, numbers = checked(model, variables, images, classes)
    name = last_maps(model, (pixels.shape[1], pixels.shape[2], pixels.shape[3])) if layer is None else layer
    (output,) = jax.eval_shape(
        lambda v, x: list(model.apply_with_layers(v, x, (name,))[3].values()), variables, pixels[:1]
    )
    shape = output.shape[1:]
    if len(shape) != 3:
        raise ValueError(f"layer {name!r} has no maps, but {by(shape)} values for each image")
    results = in_batches(lambda *batch: _compute(model, variables, *batch, name, shape), pixels, numbers)
    return GradCam(name, *results)


class GuidedGradCam(NamedTuple):
    """Guided Grad-CAM of images.

    Attributes:
      attributions: Guided backpropagation times the heatmap.
      grad_cam: The Grad-CAM used; its remarks say which attributions are zero everywhere.
    """

    attributions: Images
    grad_cam: GradCam


def guided_grad_cam(
    model: Model,
    variables: Variables,
    images: Float[Array, "b h w c"],
    classes: Int[Array, " b"],
    layer: str | None = None,
) -> GuidedGradCam:
    """Multiplies guided backpropagation by the heatmap of Grad-CAM.

    Args:
      model, variables, images, classes, layer: As for `grad_cam`.

    Returns:
      The products, and the Grad-CAM.

    Raises:
      GeometryError, ValueError: As for `grad_cam`; ValueError also for a network without rectifiers.

    Source: Selvaraju et al., 2017, section 3.1.
    """
    guided = guided_backprop(model, variables, images, classes)
    cam = grad_cam(model, variables, images, classes, layer)
    return GuidedGradCam(guided * cam.heatmaps[..., None], cam)


def last_maps(model: Model, image_shape: tuple[int, int, int]) -> str:
    """Finds the last feature maps before a network's head.

    They are the output, after its activation, of the last layer on all paths from the image to the logits whose maps
    are larger than 1x1. Layers that only pass maps on, such as pooling and response normalisation, do not count, nor
    does a convolution with one map per class. The result is the last convolution, block or module before the head.

    Args:
      model: Network.
      image_shape: (height, width, channels) of an image in pixels.

    Returns:
      Name of the layer, followed by "/activation" if an activation follows directly.

    Raises:
      GeometryError: If the image is too small for a layer.
      ValueError: If there is no such layer.
    """
    rows = model.layers(image_shape)
    having = [
        number
        for number, row in enumerate(rows)
        if len(row.output_shape) == 3 and row.kind not in PASSING and row.name.rpartition("/")[2] != LOGITS
    ]
    large = [number for number in having if rows[number].output_shape[:2] != (1, 1)]
    for number in (*reversed(large), *reversed(having)):
        if on_all_paths(rows, number):
            name = rows[number].name + ACTIVATION
            return name if name in model.activations(image_shape) else rows[number].name
    raise ValueError("no layer with maps lies on all paths from the image to the logits; name a layer")


def on_all_paths(rows: Sequence[LayerRow], number: int) -> bool:
    """Returns whether a layer is on all paths from the image to the logits.

    Args:
      rows: Rows of the layer table.
      number: Index of the layer's row.
    """
    reached, open_rows = {number}, [len(rows) - 1]
    while open_rows:
        row = open_rows.pop()
        if row == IMAGE:
            return False
        if row not in reached:
            reached.add(row)
            open_rows.extend(rows[row].sources)
    return True


@functools.partial(jax.jit, static_argnums=(0, 4, 5))
def _compute(
    model: Model,
    variables: Variables,
    images: Float[Array, "b h w c"],
    classes: Int[Array, " b"],
    layer: str,
    shape: tuple[int, int, int],
) -> tuple[Float[Array, "b n"], Float[Array, "b oh ow"], Float[Array, "b h w"]]:
    """Computes the weights, maps and heatmaps of GradCam."""

    def score(change: Array) -> tuple[Array, Array]:
        logits, _, _, outputs = model.apply_with_layers(variables, images, (layer,), {layer: change})
        return jnp.take_along_axis(logits.astype(jnp.float32), classes[:, None], axis=1).sum(), outputs[layer]

    gradients, outputs = jax.grad(score, has_aux=True)(jnp.zeros((len(images), *shape)))
    weights = gradients.mean((1, 2))
    maps = jnp.einsum("bhwn,bn->bhw", outputs.astype(jnp.float32), weights, precision="highest")
    heatmaps = jax.image.resize(jnp.maximum(maps, 0), images.shape[:3], "linear", antialias=False)
    return weights, maps, heatmaps


def _remark(cam: Float[np.ndarray, "oh ow"]) -> str | None:
    if (cam > 0).any():
        return None
    if (cam < 0).any():
        return "Grad-CAM is negative or zero everywhere: no position of these maps increases the class's logit."
    return "Grad-CAM is zero everywhere: the class's logit does not depend on these maps."
