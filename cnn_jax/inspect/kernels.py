"""The learned kernels of a network's convolutions, the largest first."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from cnn_jax.models import Model, Variables
from cnn_jax.models.lenet5 import full_kernel

SEEN_INPUTS = 16  # input channels that are kept of a kernel, those with the largest weights
SEEN_OUTPUTS = 64  # output channels that are kept of a kernel


@dataclasses.dataclass(frozen=True)
class LearnedKernels:
    """Kernels of one convolution.

    Attributes:
      layer: Name of the layer.
      shape: (height, width, input channels in a group, output channels) of the whole kernel.
      weights: Weights of the output channels and input channels that are kept.
      outputs: Numbers of the output channels, by falling Euclidean norm of their weights.
      inputs: Numbers of the input channels, in a group where there are several; by falling norm, or all in their order
        where the convolution reads the image.
      reads_image: Whether the input channels are the image's colours.
      limit: Largest absolute value of all weights.
    """

    layer: str
    shape: tuple[int, int, int, int]
    weights: Float[np.ndarray, "kh kw c o"]
    outputs: Int[np.ndarray, " o"]
    inputs: Int[np.ndarray, " c"]
    reads_image: bool
    limit: float


def learned_kernels(
    model: Model, variables: Variables, image_shape: tuple[int, int, int]
) -> tuple[LearnedKernels, ...]:
    """Reads the kernels of every convolution.

    Args:
      model: Network.
      variables: Its variables.
      image_shape: (height, width, channels) of an image in pixels.

    Returns:
      One entry for each convolution, in the order of computation; auxiliary classifiers included.

    Raises:
      GeometryError: Where the image is too small for a layer.
    """
    rows = model.layers(image_shape)
    found = []
    for row in rows:
        if row.kind != "conv":
            continue
        kernel = np.asarray(_kernel_of(variables["params"], row.name), np.float32)
        if kernel.ndim == 3:
            kernel = full_kernel(kernel)
        sees_image = all(source < 0 or rows[source].kind == "pad" for source in row.sources)
        found.append(_largest(row.name, kernel, sees_image and kernel.shape[2] == image_shape[2]))
    return tuple(found)


def _kernel_of(params: Mapping[str, Any], name: str) -> Any:
    for part in name.split("/"):
        params = params[part]
    return params["kernel"]


def _largest(layer: str, kernel: Float[np.ndarray, "kh kw c o"], reads_image: bool) -> LearnedKernels:
    squares = kernel.astype(np.float64) ** 2
    outputs = np.argsort(-squares.sum((0, 1, 2)), kind="stable")[:SEEN_OUTPUTS]
    inputs = np.arange(kernel.shape[2])
    if not reads_image:
        inputs = np.argsort(-squares.sum((0, 1, 3)), kind="stable")[:SEEN_INPUTS]
    height, width, channels, features = kernel.shape
    return LearnedKernels(
        layer=layer,
        shape=(height, width, channels, features),
        weights=kernel[:, :, inputs][..., outputs],
        outputs=outputs,
        inputs=inputs,
        reads_image=reads_image,
        limit=float(np.abs(kernel).max()),
    )
