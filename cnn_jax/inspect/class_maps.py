"""All attribution maps of a class: gradients, Grad-CAM and occlusion."""

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
    """Amount of computation per map.

    Attributes:
      samples: Noisy copies for SmoothGrad.
      steps: Points on the line of integrated gradients.
      windows: Approximate number of occlusion windows along the longer side of an image; each covers two strides.
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
      remark: Reason why there is no map, or note that it is zero or has no positive value; else None.
    """

    method: str
    values: Float[np.ndarray, "h w"] | None
    remark: str | None


@dataclasses.dataclass(frozen=True)
class ClassMaps:
    """Attribution maps of images, each for one class.

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
    """Computes all attribution maps of images, each for one class.

    Occlusion covers and baselines are normalised pixels of 0.

    Args:
      model: Network.
      variables: Its variables.
      images: Normalised pixels.
      classes: Class of each image, from 0.
      key: Random key of SmoothGrad's noise.
      effort: Amount of computation; None is the default.

    Returns:
      The maps. Guided methods have none for a network without rectifiers.

    Raises:
      GeometryError: If the images are too small for a layer.
      ValueError: If images, classes and network do not match, or a result is not finite.
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
                row.append(
                    ClassMap(
                        method,
                        None,
                        "not available: it changes the backward pass of rectifiers, and this network has none",
                    )
                )
            else:
                remark = cam.remarks[place] if method == "Grad-CAM" else None
                row.append(ClassMap(method, values[method][place], remark or in_words(values[method][place])))
        maps.append(tuple(row))
    return ClassMaps(tuple(maps), cam.layer, window, strides, integrated.completeness_error)


def in_words(values: Float[np.ndarray, "h w"]) -> str | None:
    """Returns a note if a map has no positive value; else None."""
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
      images: Images of the network's size; only their shape is used.
    """
    with ops.relu_backward("gradient") as counted:
        jax.eval_shape(lambda v, x: model.apply(v, x, train=False)[0], variables, jnp.asarray(images[:1]))
    return counted.count
