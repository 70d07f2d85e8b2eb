"""A data set on the device: order, batches and normalisation, all inside jit."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Float32, Int32, Int64, PRNGKeyArray, UInt8

from cnn_jax.config import Augment, Data
from cnn_jax.data.sources.examples import PixelStatistics
from cnn_jax.data.split import Images, Split

if TYPE_CHECKING:
    from cnn_jax.data.sources.stream import Stream

_COUNTED_AT_ONCE = 1 << 20  # pixels of all channels
_LEAST_VARIANCE = 1e-6  # of a channel of more than 8 bits that is not constant; 16 bits have steps of 1/257


class Normalization(NamedTuple):
    """Constants of (pixels - mean) / std, per channel; pixels are 0 to 255."""

    mean: Float[Array, " c"] | Float[np.ndarray, " c"]
    std: Float[Array, " c"] | Float[np.ndarray, " c"]


class Colours(NamedTuple):
    """Distribution of the training images' pixels; eigenvalues and eigenvectors are of their covariance.

    Attributes:
      mean: Mean of each channel; pixels are 0 to 255.
      eigenvalues: Eigenvalues in falling order, for pixels / 255.
      eigenvectors: Eigenvectors of length 1, one column for each eigenvalue.
    """

    mean: Float[Array, " c"] | Float[np.ndarray, " c"]
    eigenvalues: Float[Array, " c"] | Float[np.ndarray, " c"]
    eigenvectors: Float[Array, "c c"] | Float[np.ndarray, "c c"]


class Preprocessing(NamedTuple):
    """Constants of the training images that the network's inputs depend on.

    Attributes:
      normalization: Constants that normalize pixels.
      colours: Distribution of the pixels, where the augmentation needs it; None elsewhere.
    """

    normalization: Normalization
    colours: Colours | None = None


class Batch(NamedTuple):
    """Images of one step as they come from the data; the step normalizes and augments them.

    Attributes:
      images: Pixels, 0 to 255; float32 where they have more than 8 bits.
      labels: Class numbers.
      weights: 1 for an example, 0 for what fills up the last batch of an epoch.
      preprocessing: Constants that the step preprocesses them with.
    """

    images: UInt8[Array, "b h w c"] | Float32[Array, "b h w c"]
    labels: Int32[Array, " b"]
    weights: Float[Array, " b"]
    preprocessing: Preprocessing


class DeviceSplit(NamedTuple):
    """All images of a split on the devices, with their labels and the constants of their preprocessing."""

    images: UInt8[Array, "n h w c"] | Float32[Array, "n h w c"]
    labels: Int32[Array, " n"]
    preprocessing: Preprocessing


def normalization(config: Data, train: Split | Stream) -> Normalization:
    """The constants that a config's `normalize` asks for.

    Args:
      config: normalize "scale" is pixels / 255; "standardize" uses the training images' statistics.
      train: The training images.

    Returns:
      float32 constants for each channel.
    """
    channels = train.image_shape[-1]
    if config.normalize == "scale":
        return Normalization(np.zeros(channels, np.float32), np.full(channels, 255.0, np.float32))
    if not isinstance(train, Split):
        statistics = train.pixel_statistics()
        return _standardizing(statistics.mean, np.diag(statistics.covariance))
    if train.images.dtype != np.uint8:
        statistics = _statistics(train.images)
        return _standardizing(statistics.mean, np.diag(statistics.covariance), least=_LEAST_VARIANCE)
    counts = _counts(train.images)
    pixels, total = np.arange(256), counts.sum(axis=1)
    mean = counts @ pixels / total
    variance = counts @ pixels**2 / total - mean**2
    return _standardizing(mean, variance)


def _counts(images: UInt8[np.ndarray, "n h w c"]) -> Int64[np.ndarray, "c 256"]:
    """Counts each channel's pixels of each value, a few images at a time: counting makes eight bytes of every pixel."""
    counts = np.zeros((images.shape[-1], 256), np.int64)
    some = max(1, _COUNTED_AT_ONCE // max(1, math.prod(images.shape[1:])))
    for start in range(0, len(images), some):
        part = images[start : start + some]
        for channel, count in enumerate(counts):
            count += np.bincount(part[..., channel].ravel(), minlength=256)
    return counts


def _standardizing(mean: np.ndarray, variance: np.ndarray, least: float = 1.0) -> Normalization:
    std = np.sqrt(np.where(variance >= least, variance, 1.0))  # a constant channel has none to divide by
    return Normalization(mean.astype(np.float32), std.astype(np.float32))


def normalize(pixels: UInt8[Array, "*b c"] | Float[Array, "*b c"], constants: Normalization) -> Float[Array, "*b c"]:
    """Applies `normalization`'s constants to pixels 0 to 255, channels last."""
    return (pixels.astype(jnp.float32) - constants.mean) * (1.0 / constants.std)


def colours(train: Split | Stream) -> Colours:
    """The mean colour and the principal components of the training images' pixels.

    Args:
      train: The training images, of any number of channels; grey ones have one component, their brightness.

    Returns:
      float32 constants. An eigenvector's sign, which is free, makes its largest entry positive.
    """
    mean, covariance = _statistics(train.images) if isinstance(train, Split) else train.pixel_statistics()
    eigenvalues, eigenvectors = np.linalg.eigh(covariance / 255**2)
    largest = np.take_along_axis(eigenvectors, np.abs(eigenvectors).argmax(axis=0)[None], axis=0)
    falling = slice(None, None, -1)
    return Colours(
        mean.astype(np.float32),
        np.maximum(eigenvalues, 0)[falling].astype(np.float32),
        (eigenvectors * np.sign(largest))[:, falling].astype(np.float32),
    )


def _statistics(images: Images) -> PixelStatistics:
    pixels = images.reshape(-1, images.shape[-1])
    return PixelStatistics.of(pixels[start : start + (1 << 20)] for start in range(0, len(pixels), 1 << 20))


def preprocessing(data: Data, augmentation: Augment, train: Split | Stream) -> Preprocessing:
    """Computes the constants that a config's normalization and augmentation need.

    Args:
      data: Data section of the config.
      augmentation: Augmentation section of the config.
      train: The training images.
    """
    return Preprocessing(normalization(data, train), colours(train) if wants_colours(augmentation) else None)


def wants_colours(config: Augment) -> bool:
    """Tells whether a config's augmentation needs the distribution of the training images' pixels."""
    return config.lighting > 0 or (config.erasing > 0 and config.erasing_fill == "mean")


def steps_per_epoch(examples: int, batch_size: int) -> int:
    """Batches that take in every example once, the last of them perhaps filled up."""
    return -(-examples // batch_size)


def epoch_order(key: PRNGKeyArray, examples: int, batch_size: int) -> Int32[Array, "steps b"]:
    """A random order of all examples, in batches.

    Args:
      key: PRNG key of the epoch.
      examples: How many there are.
      batch_size: Images of a batch.

    Returns:
      Example numbers. The last batch is filled up with the order's first examples, to which `take` gives no
      weight.
    """
    steps = steps_per_epoch(examples, batch_size)
    order = jax.random.permutation(key, examples)
    return jnp.resize(order, (steps, batch_size)).astype(jnp.int32)


def file_order(examples: int, batch_size: int) -> Int32[np.ndarray, "steps b"]:
    """All examples as they come, in batches; filled up as `epoch_order` is."""
    return np.resize(np.arange(examples, dtype=np.int32), (steps_per_epoch(examples, batch_size), batch_size))


def take(data: DeviceSplit, order: Int32[Array, "steps b"], step: Int32[Array, ""]) -> Batch:
    """Picks one batch of an order.

    Args:
      data: The split.
      order: As `epoch_order` gives it.
      step: Number of the batch, from 0.

    Returns:
      The batch; a weight of 0 marks what fills up the last one.
    """
    examples, batch_size = data.labels.shape[0], order.shape[1]
    chosen = jax.lax.dynamic_index_in_dim(order, step, keepdims=False)
    position = step * batch_size + jnp.arange(batch_size)
    real: Bool[Array, " b"] = position < examples
    return Batch(data.images[chosen], data.labels[chosen], real.astype(jnp.float32), data.preprocessing)
