"""All maps of the pixels that a class depends on, side by side."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int, PRNGKeyArray

from cnn_jax import ops
from cnn_jax.inspect import attribution, grad_cam, occlusion
from cnn_jax.models import Model, Variables

METHODS = (
    "gradient",
    "gradient x input",
    "SmoothGrad",
    "integrated gradients",
    "guided backpropagation",
    "Grad-CAM",
    "guided Grad-CAM",
    "occlusion",
)


@dataclasses.dataclass(frozen=True)
class Effort:
    """How much is computed for a map.

    Attributes:
      samples: Noisy copies that SmoothGrad averages.
      steps: Points on the line of integrated gradients.
      windows: Windows of occlusion along the longer side of an image, about; each covers two strides.
    """

    samples: int = 50
    steps: int = 50
    windows: int = 14


@dataclasses.dataclass(frozen=True)
class ClassMap:
    """One map of an image for a class.

    Attributes:
      method: One of METHODS.
      values: Sum over the colours for each pixel; None where the method does not apply.
      remark: Why there is no map, or a sentence where it is zero or has no positive value; else None.
    """

    method: str
    values: Float[np.ndarray, "h w"] | None
    remark: str | None


@dataclasses.dataclass(frozen=True)
class ClassMaps:
    """All maps of some images, each for one class.

    Attributes:
      maps: For each image one map for each method, in the order of METHODS.
      layer: Layer of Grad-CAM.
      window: (height, width) of occlusion's window in pixels.
      strides: (height, width) in pixels between windows.
      completeness_errors: For each image the sum of its integrated gradients minus the difference of the logits.
    """

    maps: tuple[tuple[ClassMap, ...], ...]
    layer: str
    window: tuple[int, int]
    strides: tuple[int, int]
    completeness_errors: Float[np.ndarray, " b"]


def class_maps(
    model: Model,
    variables: Variables,
    images: Float[np.ndarray, "b h w c"],
    classes: Int[np.ndarray, " b"],
    key: PRNGKeyArray,
    effort: Effort | None = None,
) -> ClassMaps:
    """Computes all maps of images, each for one class.

    Covers and baselines are normalised pixels of 0.

    Args:
      model: Network.
      variables: Its variables.
      images: Normalised pixels.
      classes: Class of each image, from 0.
      key: Random key of SmoothGrad's noise.
      effort: How much is computed; None is the standard.

    Returns:
      The maps. Guided methods have none for a network without rectifiers.

    Raises:
      GeometryError: Where the images are too small for a layer.
      ValueError: Where images, classes and network do not fit together, or a result is not finite.
    """
    effort = effort or Effort()
    seen = model, variables, jnp.asarray(images), jnp.asarray(classes)
    height, width = images.shape[1:3]
    stride = max(1, -(-max(height, width) // effort.windows))
    window = (min(2 * stride, height), min(2 * stride, width))
    strides = (min(stride, window[0]), min(stride, window[1]))
    slopes = attribution.gradient(*seen)
    smooth = attribution.smooth_grad(*seen, key, samples=effort.samples)
    integrated = attribution.integrated_gradients(*seen, steps=effort.steps)
    cam = grad_cam.grad_cam(*seen)
    values: dict[str, np.ndarray] = {
        "gradient": slopes.sum(-1),
        "gradient x input": (slopes * images).sum(-1),
        "SmoothGrad": smooth.sum(-1),
        "integrated gradients": integrated.attributions.sum(-1),
        "Grad-CAM": cam.heatmaps,
        "occlusion": occlusion.occlusion(*seen, window, strides),
    }
    if rectifiers(model, variables, images) > 0:
        guided = attribution.guided_backprop(*seen)
        values["guided backpropagation"] = guided.sum(-1)
        values["guided Grad-CAM"] = (guided * cam.heatmaps[..., None]).sum(-1)
    maps = []
    for place in range(len(images)):
        row = []
        for method in METHODS:
            if method not in values:
                row.append(ClassMap(method, None, "this network has no rectifiers, whose backward pass it changes"))
            else:
                remark = cam.remarks[place] if method == "Grad-CAM" else None
                row.append(ClassMap(method, values[method][place], remark or in_words(values[method][place])))
        maps.append(tuple(row))
    return ClassMaps(tuple(maps), cam.layer, window, strides, integrated.completeness_error)


def in_words(values: Float[np.ndarray, "h w"]) -> str | None:
    """Says where a map shows nothing that speaks for the class; None elsewhere."""
    if not values.any():
        return "zero everywhere"
    if not (values > 0).any():
        return "no positive value: negative or zero everywhere"
    return None


def rectifiers(model: Model, variables: Variables, images: Float[np.ndarray, "b h w c"]) -> int:
    """Counts the rectifiers that run in evaluation.

    Args:
      model: Network.
      variables: Its variables.
      images: Images of the network's size; nothing is computed.
    """
    with ops.relu_backward("gradient") as counted:
        jax.eval_shape(lambda v, x: model.apply(v, x, train=False)[0], variables, jnp.asarray(images[:1]))
    return counted.count
