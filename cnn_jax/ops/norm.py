"""Normalisation over neighbouring channels."""

from __future__ import annotations

import functools
import operator

import jax.numpy as jnp
from jaxtyping import Array, Float


def local_response_norm(
    x: Float[Array, "b h w c"],
    *,
    size: int = 5,
    alpha: float = 1e-4,
    beta: float = 0.75,
    k: float = 2.0,
    mean: bool = False,
) -> Float[Array, "b h w c"]:
    """Divides each value by the strength of its neighbours in other channels at the same place.

        y[c] = x[c] / (k + alpha * sum of x[i]^2 over the size channels around c) ^ beta

    Args:
      x: feature maps, channels last.
      size: channels of the neighbourhood; of an even one, the odd channel lies before.
      alpha, beta, k: constants; the defaults are AlexNet's. GoogLeNet's are the same with k=1 and mean=True.
      mean: whether alpha weighs the mean of the squares, as in Caffe and PyTorch (whose alpha is `size` times
        the paper's for the same result), in place of their sum, as in the paper.

    Returns:
      Feature maps of the same shape.

    Raises:
      ValueError: for a size below 1.

    Source: Krizhevsky, Sutskever and Hinton, "ImageNet classification with deep convolutional neural networks",
    2012, section 3.3.
    """
    if size < 1:
        raise ValueError(f"size={size}: expected at least 1 channel")
    channels = x.shape[-1]
    squares = jnp.pad(jnp.square(x), ((0, 0), (0, 0), (0, 0), (size // 2, (size - 1) // 2)))
    total = functools.reduce(operator.add, (squares[..., i : i + channels] for i in range(size)))
    return x / (k + (alpha / size if mean else alpha) * total) ** beta
