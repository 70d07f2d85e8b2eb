"""Normalisation: over neighbouring channels, over the batch, and over groups of channels."""

from __future__ import annotations

import functools
import operator

import jax.numpy as jnp
from jax import lax
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


def batch_statistics(x: Float[Array, "b h w c"]) -> tuple[Float[Array, " c"], Float[Array, " c"]]:
    """Mean and (biased) variance of each channel over the batch and all places, in float32.

    Args:
      x: feature maps, channels last.

    Returns:
      (mean, variance).
    """
    wide = x.astype(jnp.float32)
    mean = jnp.mean(wide, axis=(0, 1, 2))
    return mean, jnp.mean(jnp.square(wide - mean), axis=(0, 1, 2))


def batch_norm(
    x: Float[Array, "b h w c"],
    scale: Float[Array, " c"],
    bias: Float[Array, " c"],
    mean: Float[Array, " c"],
    variance: Float[Array, " c"],
    *,
    eps: float = 1e-5,
) -> Float[Array, "b h w c"]:
    """Normalises each channel: scale * (x - mean) / sqrt(variance + eps) + bias.

    Args:
      x: feature maps, channels last.
      scale, bias: learned.
      mean, variance: of the batch (`batch_statistics`) in training, running ones otherwise.
      eps: keeps the root from zero.

    Returns:
      Feature maps of x's type; the arithmetic is float32.

    Source: Ioffe and Szegedy, "Batch normalization", 2015, algorithms 1 and 2.
    """
    factor = scale * lax.rsqrt(variance + eps)
    return ((x.astype(jnp.float32) - mean) * factor + bias).astype(x.dtype)


def group_norm(
    x: Float[Array, "b h w c"],
    scale: Float[Array, " c"],
    bias: Float[Array, " c"],
    *,
    groups: int,
    eps: float = 1e-5,
) -> Float[Array, "b h w c"]:
    """Normalises each image over all places of each group of channels, then scales and shifts each channel.

    Args:
      x: feature maps, channels last.
      scale, bias: learned.
      groups: of neighbouring channels; 1 is layer norm, one for each channel is instance norm.
      eps: keeps the root from zero.

    Returns:
      Feature maps of x's type; the arithmetic is float32.

    Raises:
      ValueError: where groups does not divide the channels.

    Source: Wu and He, "Group normalization", 2018.
    """
    batch, height, width, channels = x.shape
    if groups < 1 or channels % groups:
        raise ValueError(f"groups={groups} does not divide {channels} channels")
    split = x.astype(jnp.float32).reshape(batch, height, width, groups, channels // groups)
    mean = jnp.mean(split, axis=(1, 2, 4), keepdims=True)
    variance = jnp.mean(jnp.square(split - mean), axis=(1, 2, 4), keepdims=True)
    normal = ((split - mean) * lax.rsqrt(variance + eps)).reshape(x.shape)
    return (normal * scale + bias).astype(x.dtype)
