"""Local response norm, batch norm, group norm and layer norm."""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.sharding import PartitionSpec
from jaxtyping import Array, Float

from cnn_jax.ops import affine_norm
from cnn_jax.ops.platform import platform


@jax.named_scope("normalisation")
def local_response_norm(
    x: Float[Array, "b h w c"],
    *,
    size: int = 5,
    alpha: float = 1e-4,
    beta: float = 0.75,
    k: float = 2.0,
    mean: bool = False,
) -> Float[Array, "b h w c"]:
    """Normalizes each value by the squares of adjacent channels at the same position.

        y[c] = x[c] / (k + alpha * sum of x[i]^2 over the size channels around c) ^ beta

    Args:
      x: Feature maps, channels last.
      size: Channels in the neighborhood; an even size takes one channel more before c than after it.
      alpha, beta, k: Constants; the defaults are AlexNet's. GoogLeNet's are the same with k=1 and mean=True.
      mean: Whether alpha multiplies the mean of the squares, as in Caffe and PyTorch (whose alpha is `size` times
        the paper's for the same result), instead of their sum, as in the paper.

    Returns:
      Feature maps of the same shape.

    Raises:
      ValueError: If size is below 1.

    Source: Krizhevsky, Sutskever and Hinton, "ImageNet classification with deep convolutional neural networks",
    2012, section 3.3.
    """
    if size < 1:
        raise ValueError(f"size={size}: expected at least 1 channel")
    y: Array = _response_norm(x, size, alpha / size if mean else alpha, beta, k)
    return y


@functools.partial(jax.custom_vjp, nondiff_argnums=(1, 2, 3, 4))
def _response_norm(x: Array, size: int, alpha: float, beta: float, k: float) -> Array:
    return _response_norm_forward(x, size, alpha, beta, k)[0]


def _response_norm_forward(
    x: Array, size: int, alpha: float, beta: float, k: float
) -> tuple[Array, tuple[Array, Array]]:
    strength = k + alpha * _neighbors(jnp.square(x), size // 2, size - 1 - size // 2)
    return x * _power(strength, beta), (x, strength)


def _response_norm_backward(
    size: int, alpha: float, beta: float, k: float, saved: tuple[Array, Array], gradient: Array
) -> tuple[Array]:
    x, strength = saved
    factor = _power(strength, beta)
    shared = _neighbors(gradient * x * factor / strength, size - 1 - size // 2, size // 2)
    return (gradient * factor - 2 * alpha * beta * x * shared,)


_response_norm.defvjp(_response_norm_forward, _response_norm_backward)


def _neighbors(values: Array, before: int, after: int) -> Array:
    """Sums each channel with the `before` channels before it and the `after` channels after it."""
    channels = values.shape[-1]
    if platform() == "cpu":  # a product with a band matrix is several times faster than shifted sums
        numbers = np.arange(channels)
        offsets = numbers[:, None] - numbers
        band = jnp.asarray((-before <= offsets) & (offsets <= after), values.dtype)
        return lax.optimization_barrier(values) @ band
    padded = jnp.pad(values, ((0, 0), (0, 0), (0, 0), (before, after)))
    return functools.reduce(operator.add, (padded[..., i : i + channels] for i in range(before + after + 1)))


def _power(strength: Array, beta: float) -> Array:
    """Returns strength ^ -beta; square roots cost a tenth of a general power."""
    root = lax.rsqrt(strength)
    return root * jnp.sqrt(root) if beta == 0.75 else strength**-beta


def batch_statistics(
    x: Float[Array, "b h w c"], shift: Float[Array, " c"] | None = None
) -> tuple[Float[Array, " c"], Float[Array, " c"]]:
    """Computes each channel's mean and biased variance over the batch and all positions, in float32.

    Args:
      x: Feature maps, channels last.
      shift: Estimates of the means, such as the running means, used on TPUs and GPUs. They allow a single pass over
        the maps, which TPUs fuse into the convolution that writes them. The variance is then a difference of squares,
        which loses all digits in float32 if an estimate is off by a thousand standard deviations. Defaults to the
        first pixel of each channel.

    Returns:
      (mean, variance).
    """
    wide = x.astype(jnp.float32)
    if platform() != "cpu":
        start = wide[0, 0, 0] if shift is None else shift
        moved, squares = jnp.mean(wide - start, axis=(0, 1, 2)), jnp.mean(jnp.square(wide - start), axis=(0, 1, 2))
        return start + moved, jnp.maximum(squares - jnp.square(moved), 0.0)
    mean = jnp.mean(wide, axis=(0, 1, 2))
    return mean, jnp.mean(jnp.square(wide - mean), axis=(0, 1, 2))


@jax.named_scope("normalisation")
def batch_norm(
    x: Float[Array, "b h w c"],
    scale: Float[Array, " c"],
    bias: Float[Array, " c"],
    mean: Float[Array, " c"],
    variance: Float[Array, " c"],
    *,
    eps: float = 1e-5,
) -> Float[Array, "b h w c"]:
    """Normalizes each channel: scale * (x - mean) / sqrt(variance + eps) + bias.

    Args:
      x: Feature maps, channels last.
      scale, bias: Learned parameters.
      mean, variance: Statistics of the batch (`batch_statistics`) in training, running statistics otherwise.
      eps: Added to the variance for numerical stability.

    Returns:
      Feature maps of x's type; the arithmetic is float32.

    Source: Ioffe and Szegedy, "Batch normalization", 2015, algorithms 1 and 2.
    """
    factor = scale * lax.rsqrt(variance + eps)
    return ((x.astype(jnp.float32) - mean) * factor + bias).astype(x.dtype)


@jax.named_scope("normalisation")
def batch_norm_train(
    x: Float[Array, "b h w c"],
    scale: Float[Array, " c"],
    bias: Float[Array, " c"],
    *,
    shift: Float[Array, " c"] | None = None,
    eps: float = 1e-5,
    parts: int = 1,
) -> tuple[Float[Array, "b h w c"], Float[Array, " c"], Float[Array, " c"]]:
    """Applies `batch_norm` with the statistics of the batch; its gradient stores no maps but the input.

    Args:
      x: Feature maps, channels last.
      scale, bias: Learned parameters.
      shift: Estimates of the means, as for `batch_statistics`.
      eps: Added to the variance for numerical stability.
      parts: Number of equal parts of consecutive images, each normalized by its own statistics. If it is a multiple of
        the number of devices, a sharded batch needs no communication.

    Returns:
      (feature maps of x's type, mean, biased variance), the statistics averaged over the parts. No gradient flows
      through the statistics, which serve to update the running statistics.

    Raises:
      ValueError: If parts does not divide the batch.
    """
    shared = (scale, bias, shift)
    if platform() != "gpu":
        return in_parts(lambda *arrays: _batch_norm_train(*arrays, eps), parts, (x,), shared)
    if _one_part_a_device(parts):
        return in_parts(lambda *arrays: affine_norm.batch_norm_train(*arrays, eps, 1), parts, (x,), shared)
    _check_parts(parts, len(x))
    y, mean, variance = affine_norm.batch_norm_train(x, scale, bias, shift, eps, parts)
    return y, lax.stop_gradient(mean), lax.stop_gradient(variance)


def in_parts(
    normalize: Callable[..., tuple[Array, Array, Array]],
    parts: int,
    batched: tuple[Float[Array, "b ..."], ...],
    shared: tuple[Array | None, ...],
) -> tuple[Float[Array, "b oh ow o"], Float[Array, " o"], Float[Array, " o"]]:
    """Normalizes equal parts of consecutive images, each by its own statistics.

    Under a mesh (`jax.sharding.use_abstract_mesh`) with as many devices as parts, each device normalizes one part as a
    single-device program would: the maps keep their four dimensions, which lets the compiler fuse more.

    Args:
      normalize: Maps the arrays of some images and the shared arrays to (feature maps, mean, variance).
      parts: Number of parts.
      batched: Arrays of all images.
      shared: Arrays passed to every part.

    Returns:
      (feature maps of all images, mean, variance), the statistics averaged over the parts. No gradient flows through
      the statistics.

    Raises:
      ValueError: If parts does not divide the batch.
    """
    batch = len(batched[0])
    _check_parts(parts, batch)
    if parts == 1:
        y, mean, variance = normalize(*batched, *shared)
    else:
        if _one_part_a_device(parts):
            split, whole = PartitionSpec(jax.sharding.get_abstract_mesh().axis_names), PartitionSpec()

            def on_one(batched: tuple[Array, ...], shared: tuple[Array | None, ...]) -> tuple[Array, Array, Array]:
                y, mean, variance = normalize(*batched, *shared)
                return y, mean[None], variance[None]

            on_each = jax.shard_map(on_one, in_specs=(split, whole), out_specs=split, check_vma=False)
            y, *statistics = on_each(batched, shared)
        else:
            split_batch = (each.reshape(parts, -1, *each.shape[1:]) for each in batched)
            y, *statistics = jax.vmap(lambda *part: normalize(*part, *shared))(*split_batch)
            y = y.reshape(batch, *y.shape[2:])
        mean, variance = (jnp.mean(each, axis=0) for each in statistics)
    return y, lax.stop_gradient(mean), lax.stop_gradient(variance)


def _check_parts(parts: int, batch: int) -> None:
    if parts < 1 or batch % parts:
        raise ValueError(f"parts={parts} does not divide a batch of {batch}")


def _one_part_a_device(parts: int) -> bool:
    """Whether a program is traced for a mesh of as many devices as parts."""
    mesh = jax.sharding.get_abstract_mesh()
    return parts > 1 and not mesh.empty and not mesh.manual_axes and mesh.size == parts


@functools.partial(jax.custom_vjp, nondiff_argnums=(4,))
def _batch_norm_train(
    x: Array, scale: Array, bias: Array, shift: Array | None, eps: float
) -> tuple[Array, Array, Array]:
    mean, variance = batch_statistics(x, shift)
    return batch_norm(x, scale, bias, mean, variance, eps=eps), mean, variance


def _batch_norm_forward(
    x: Array, scale: Array, bias: Array, shift: Array | None, eps: float
) -> tuple[tuple[Array, Array, Array], tuple[Array, ...]]:
    y, mean, variance = _batch_norm_train(x, scale, bias, shift, eps)
    return (y, mean, variance), (x, scale, mean, lax.rsqrt(variance + eps))


def _batch_norm_backward(
    eps: float, saved: tuple[Array, ...], gradients: tuple[Array, ...]
) -> tuple[Array | None, ...]:
    """Gradients of Ioffe and Szegedy, 2015, section 3, rearranged to sum over the normalized maps first."""
    x, scale, mean, factor = saved
    cotangent = gradients[0].astype(jnp.float32)
    normal = (x.astype(jnp.float32) - mean) * factor
    to_bias = jnp.sum(cotangent, axis=(0, 1, 2))
    to_scale = jnp.sum(cotangent * normal, axis=(0, 1, 2))
    count = x.size // x.shape[-1]
    to_x = scale * factor * (cotangent - (to_bias + normal * to_scale) / count)
    return to_x.astype(x.dtype), to_scale, to_bias, None


_batch_norm_train.defvjp(_batch_norm_forward, _batch_norm_backward)


@jax.named_scope("normalisation")
def group_norm(
    x: Float[Array, "b h w c"],
    scale: Float[Array, " c"],
    bias: Float[Array, " c"],
    *,
    groups: int,
    eps: float = 1e-5,
) -> Float[Array, "b h w c"]:
    """Normalizes each image over all positions of each group of channels, then scales and shifts each channel.

    Args:
      x: Feature maps, channels last.
      scale, bias: Learned parameters.
      groups: Number of groups of consecutive channels; 1 is layer norm, one group per channel is instance norm.
      eps: Added to the variance for numerical stability.

    Returns:
      Feature maps of x's type; the arithmetic is float32.

    Raises:
      ValueError: If groups does not divide the channels.

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


@jax.named_scope("normalisation")
def layer_norm(
    x: Float[Array, "b h w c"], scale: Float[Array, " c"], bias: Float[Array, " c"], *, eps: float = 1e-6
) -> Float[Array, "b h w c"]:
    """Normalizes each position of each image over its channels, then scales and shifts each channel.

    Args:
      x: Feature maps, channels last.
      scale, bias: Learned parameters.
      eps: Added to the variance for numerical stability.

    Returns:
      Feature maps of x's type; the arithmetic is float32.

    Sources: Ba, Kiros and Hinton, "Layer normalization", 2016; applied to each position's channels as in Liu et al.,
    "A ConvNet for the 2020s", 2022.
    """
    wide = x.astype(jnp.float32)
    mean = jnp.mean(wide, axis=-1, keepdims=True)
    variance = jnp.mean(jnp.square(wide - mean), axis=-1, keepdims=True)
    return ((wide - mean) * lax.rsqrt(variance + eps) * scale + bias).astype(x.dtype)
