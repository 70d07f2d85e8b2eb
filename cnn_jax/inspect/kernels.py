"""Learned kernels of a network's convolutions, the largest first."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from cnn_jax.models import Model, Variables
from cnn_jax.models.lenet5 import full_kernel

SEEN_INPUTS = 16  # maximum input channels kept per kernel, those with the largest weights
SEEN_OUTPUTS = 64  # maximum output channels kept per kernel


@dataclasses.dataclass(frozen=True)
class LearnedKernels:
    """Kernels of one convolution.

    Attributes:
      layer: Name of the layer.
      shape: (height, width, input channels per group, output channels) of the whole kernel.
      weights: Weights of the output and input channels kept.
      outputs: Indices of the output channels, in decreasing order of the Euclidean norm of their weights.
      inputs: Indices of the input channels, within a group if there are several, in decreasing order of norm; all in
        their order if the convolution reads the image.
      reads_image: Whether the input channels are the image's colours.
      limit: Maximum absolute value of all weights.
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
      One entry for each convolution, including auxiliary classifiers, in the order of computation.

    Raises:
      GeometryError: If the image is too small for a layer.
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
