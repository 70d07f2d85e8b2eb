"""Gradient-based attributions of a class's logit to the pixels of images."""

from __future__ import annotations

import contextvars
import functools
import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray

from cnn_jax import ops
from cnn_jax.models import Model, Variables
from cnn_jax.ops.activation import ReluBackward
from cnn_jax.ops.platform import platform
from cnn_jax.run.machine import cores_of_xla
from cnn_jax.words import by

BATCH_PIXELS = 2**19  # pixels per batch, 10 images of 224x224: the gradients of a ResNet-50 take about 2 GB
LARGEST_BATCH = 64  # maximum images per batch

Images = Float[np.ndarray, "b h w c"]


def gradient(model: Model, variables: Variables, images: Float[Array, "b h w c"], classes: Int[Array, " b"]) -> Images:
    """Computes the gradient of a class's logit with respect to the pixels.

    Args:
      model: Network.
      variables: Its variables.
      images: Normalised pixels.
      classes: Class of each image, from 0.

    Returns:
      Gradients, in logits per unit of the normalised pixels.

    Raises:
      GeometryError: If the images are too small for a layer.
      ValueError: If images, classes and network do not match, or a result is not finite.

    Source: Simonyan, Vedaldi and Zisserman, "Deep inside convolutional networks", 2014, section 3.
    """
    return _gradient(model, variables, images, classes, "gradient")


def gradient_times_input(
    model: Model, variables: Variables, images: Float[Array, "b h w c"], classes: Int[Array, " b"]
) -> Images:
    """Computes the product of the gradient and the normalised pixels.

    For a linear network without biases, the products of an image sum to its logit.

    Args:
      model, variables, images, classes: As for `gradient`.

    Returns:
      Products, in logits.

    Raises:
      GeometryError, ValueError: As for `gradient`.

    Source: Shrikumar, Greenside, Shcherbina and Kundaje, "Not just a black box", 2016, section 3.
    """
    return _gradient(model, variables, images, classes, "gradient") * np.asarray(images, np.float32)


def guided_backprop(
    model: Model, variables: Variables, images: Float[Array, "b h w c"], classes: Int[Array, " b"]
) -> Images:
    """Backpropagates a class's logit to the pixels, with `ops.relu_backward("guided")` at rectifiers.

    Args:
      model, variables, images, classes: As for `gradient`.

    Returns:
      Signals at the pixels.

    Raises:
      GeometryError, ValueError: As for `gradient`; ValueError for a network without rectifiers, too.

    Source: Springenberg, Dosovitskiy, Brox and Riedmiller, "Striving for simplicity", 2015, section 3.4.
    """
    return _gradient(model, variables, images, classes, "guided")


def deconvnet(model: Model, variables: Variables, images: Float[Array, "b h w c"], classes: Int[Array, " b"]) -> Images:
    """Backpropagates a class's logit to the pixels, with `ops.relu_backward("deconvnet")` at rectifiers.

    Args:
      model, variables, images, classes: As for `gradient`.

    Returns:
      Signals at the pixels.

    Raises:
      GeometryError, ValueError: As for `gradient`; ValueError for a network without rectifiers, too.

    Source: Zeiler and Fergus, "Visualizing and understanding convolutional networks", 2014, section 2.1.
    """
    return _gradient(model, variables, images, classes, "deconvnet")


def smooth_grad(
    model: Model,
    variables: Variables,
    images: Float[Array, "b h w c"],
    classes: Int[Array, " b"],
    key: PRNGKeyArray,
    noise: float = 0.15,
    samples: int = 50,
) -> Images:
    """Averages the gradients of noisy copies of every image.

    The noise of an image depends only on the key and the image's index.

    Args:
      model, variables, images, classes: As for `gradient`.
      key: Random key of the noise.
      noise: Standard deviation of the Gaussian noise as a share of each image's range (maximum minus minimum).
      samples: Noisy copies per image.

    Returns:
      Mean gradients.

    Raises:
      GeometryError, ValueError: As for `gradient`; ValueError also for negative noise or without samples.

    Source: Smilkov, Thorat, Kim, Viegas and Wattenberg, "SmoothGrad: removing noise by adding noise", 2017.
    """
    if not 0 <= noise < np.inf:
        raise ValueError(f"noise={noise}: expected a number from 0, a share of the image's range")
    if samples < 1:
        raise ValueError(f"samples={samples}: expected at least 1")
    pixels, numbers = checked(model, variables, images, classes)

    def compute(images: Array, classes: Array, places: Array) -> Array:
        total = jnp.zeros_like(images)
        for sample in range(samples):
            noisy = _noisy(images, places, key, sample, noise)
            total = total + _logit_gradient(model, variables, noisy, classes, "gradient")[0]
        return total / samples

    gradients: np.ndarray = in_batches(compute, pixels, numbers, np.arange(len(pixels)))
    return gradients


class IntegratedGradients(NamedTuple):
    """Integrated gradients of images.

    Attributes:
      attributions: Attributions, in logits.
      logits: Logit of the class for each image.
      baseline_logits: Logit of the class for each image's baseline.
    """

    attributions: Images
    logits: Float[np.ndarray, " b"]
    baseline_logits: Float[np.ndarray, " b"]

    @property
    def completeness_error(self) -> Float[np.ndarray, " b"]:
        """Sum of an image's attributions minus the difference of the logits; it tends to 0 with the number of steps."""
        sums = self.attributions.sum(axis=(1, 2, 3), dtype=np.float64)
        return sums - (self.logits.astype(np.float64) - self.baseline_logits)


def integrated_gradients(
    model: Model,
    variables: Variables,
    images: Float[Array, "b h w c"],
    classes: Int[Array, " b"],
    baseline: float | Float[Array, "..."] = 0.0,
    steps: int = 50,
) -> IntegratedGradients:
    """Integrates the gradient from a baseline to each image, along a straight line, times their difference.

    Args:
      model, variables, images, classes: As for `gradient`.
      baseline: Normalised pixels without information: a number, or an array that broadcasts to the images.
      steps: Points on the line, by Gauss-Legendre quadrature.

    Returns:
      Attributions, and both logits; `completeness_error` is the deviation of the sum from their difference.

    Raises:
      GeometryError, ValueError: As for `gradient`; ValueError also for a baseline that does not broadcast, or without
        steps.

    Source: Sundararajan, Taly and Yan, "Axiomatic attribution for deep networks", 2017, section 3.
    """
    if steps < 1:
        raise ValueError(f"steps={steps}: expected at least 1")
    pixels, numbers = checked(model, variables, images, classes)
    points, weights = np.polynomial.legendre.leggauss(steps)  # on the line from -1 to 1

    def compute(images: Array, starts: Array, classes: Array) -> tuple[Array, Array, Array]:
        change, total = images - starts, jnp.zeros_like(images)
        for point, weight in zip((points + 1) / 2, weights / 2, strict=True):
            slope, _ = _logit_gradient(model, variables, starts + np.float32(point) * change, classes, "gradient")
            total = total + np.float32(weight) * slope
        logits, baseline_logits = (
            _logit_gradient(model, variables, end, classes, "gradient")[1] for end in (images, starts)
        )
        return total * change, logits, baseline_logits

    return IntegratedGradients(*in_batches(compute, pixels, broadcast_baseline(baseline, pixels), numbers))


def checked(
    model: Model, variables: Variables, images: Float[Array, "b h w c"], classes: Int[Array, " b"]
) -> tuple[Images, Int[np.ndarray, " b"]]:
    """Checks that images, classes and network match.

    Args:
      model, variables, images, classes: As for `gradient`.

    Returns:
      Images in float32, and classes in int32, on the host.

    Raises:
      GeometryError: If the images are too small for a layer.
      ValueError: If they do not match; the message says what was expected.
    """
    pixels, numbers = np.asarray(images, np.float32), np.asarray(classes)
    if pixels.ndim != 4 or not len(pixels):
        raise ValueError(f"images with shape {pixels.shape}: expected (images, height, width, channels)")
    if numbers.shape != (len(pixels),) or not np.issubdtype(numbers.dtype, np.integer):
        raise ValueError(
            f"classes of the shape {numbers.shape} and the type {numbers.dtype}: expected {len(pixels)} integers, one "
            "for each image"
        )
    if not np.isfinite(pixels).all():
        raise ValueError("images have pixels that are not finite")
    shape = (pixels.shape[1], pixels.shape[2], pixels.shape[3])
    count = model.layers(shape)[-1].output_shape[-1]
    wrong = numbers[(numbers < 0) | (numbers >= count)]
    if len(wrong):
        raise ValueError(f"class {wrong[0]}: expected 0 to {count - 1}, the network's classes")
    needed = {path: leaf.shape for path, leaf in jax.tree_util.tree_leaves_with_path(_parameters(model, shape))}
    given = {path: leaf.shape for path, leaf in jax.tree_util.tree_leaves_with_path(dict(variables["params"]))}
    for path in (*needed, *given):
        if needed.get(path) != given.get(path):
            raise ValueError(
                f"images of {by(shape)}: the network of such images has "
                f"{jax.tree_util.keystr(path, simple=True, separator='/')} of the shape {needed.get(path)}, and the "
                f"variables have {given.get(path)}"
            )
    return pixels, numbers.astype(np.int32)


def in_batches(compute: Callable[..., Any], *arrays: np.ndarray) -> Any:
    """Applies a function to batches of bounded size.

    Args:
      compute: Function of batches of the arrays; it returns arrays or tuples of arrays with the batch as leading
        dimension.
      arrays: Arrays with equal leading dimensions; the first one holds images.

    Returns:
      The results, concatenated on the host.

    Raises:
      ValueError: If a result is not finite.
    """
    count = len(arrays[0])
    return apply_in_batches(compute, batch_size(arrays[0].shape[1:3], count), *arrays)


def apply_in_batches(compute: Callable[..., Any], size: int, *arrays: np.ndarray) -> Any:
    """Applies a function to batches of bounded, equal size, so that all share one program.

    On a CPU, several smaller batches run in parallel, one per core, because XLA's convolutions run on one core;
    together they have at most `size` entries. They run in separate threads, which JAX's context managers of the calling
    thread do not affect.

    Args:
      compute, arrays: As for `in_batches`; the first array may hold anything.
      size: Maximum number of entries computed at once.

    Returns:
      The results, concatenated on the host.

    Raises:
      ValueError: If a result is not finite.
    """
    count = len(arrays[0])
    at_once = min(cores_of_xla(), size, count) if platform() == "cpu" else 1
    batches = math.ceil(count / min(size // at_once, math.ceil(count / at_once)))
    entries = math.ceil(count / batches)

    def part(start: int) -> Any:
        numbers = np.minimum(np.arange(start, start + entries), count - 1)
        return jax.tree.map(np.asarray, compute(*(array[numbers] for array in arrays)))

    with ThreadPoolExecutor(at_once) as threads:
        computing = [threads.submit(contextvars.copy_context().run, part, start) for start in range(0, count, entries)]
        try:
            results = [each.result() for each in computing]
        finally:
            threads.shutdown(cancel_futures=True)
    whole = jax.tree.map(lambda *parts: np.concatenate(parts)[:count], *results)
    for leaf in jax.tree.leaves(whole):
        if not np.isfinite(leaf).all():
            raise ValueError("the network gives logits or gradients that are not finite")
    return whole


def batch_size(size: tuple[int, ...], count: int) -> int:
    """Returns the batch size for `count` images of a size (height, width)."""
    return max(1, min(count, LARGEST_BATCH, BATCH_PIXELS // (size[0] * size[1])))


def broadcast_baseline(baseline: float | Float[Array, "..."], images: Images) -> Images:
    """Broadcasts a baseline to the images.

    Args:
      baseline: A number, or an array that broadcasts to the images.
      images: Normalised pixels.

    Returns:
      Baselines.

    Raises:
      ValueError: If the baseline does not broadcast to the images, or is not finite.
    """
    values = np.asarray(baseline, np.float32)
    try:
        whole = np.broadcast_to(values, images.shape)
    except ValueError:
        raise ValueError(
            f"baseline of the shape {values.shape}: expected a number, or a shape that broadcasts to {images.shape}"
        ) from None
    if not np.isfinite(values).all():
        raise ValueError("baseline has pixels that are not finite")
    return whole


def _gradient(model: Model, variables: Variables, images: Any, classes: Any, backward: ReluBackward) -> Images:
    gradients: np.ndarray = in_batches(
        lambda *batch: _logit_gradient(model, variables, *batch, backward)[0],
        *checked(model, variables, images, classes),
    )
    return gradients


@functools.lru_cache(maxsize=16)
def _parameters(model: Model, image_shape: tuple[int, int, int]) -> Any:
    """Returns the parameter shapes of a network for an image shape."""
    return dict(model.variable_shapes(image_shape)["params"])


@functools.partial(jax.jit, static_argnums=(0, 4))
def _logit_gradient(
    model: Model,
    variables: Variables,
    images: Float[Array, "b h w c"],
    classes: Int[Array, " b"],
    backward: ReluBackward,
) -> tuple[Float[Array, "b h w c"], Float[Array, " b"]]:
    """Computes the gradient of each image's logit with respect to its pixels, and the logit."""

    def score(images: Array) -> tuple[Array, Array]:
        with ops.on_one_core(), ops.relu_backward(backward) as rectifiers:
            logits = model.apply(variables, images, train=False)[0]
        if backward != "gradient" and not rectifiers.count:
            raise ValueError(
                f"{backward} changes the backward pass of rectifiers, and this network has none; use gradient"
            )
        chosen = jnp.take_along_axis(logits.astype(jnp.float32), classes[:, None], axis=1)[:, 0]
        return chosen.sum(), chosen

    return jax.grad(score, has_aux=True)(images)


@jax.jit
def _noisy(
    images: Float[Array, "b h w c"], places: Int[Array, " b"], key: PRNGKeyArray, sample: int, noise: float
) -> Float[Array, "b h w c"]:
    """Adds the noise of one sample to images, given their indices among all images."""

    def add(image: Array, place: Array) -> Array:
        own = jax.random.fold_in(jax.random.fold_in(key, place), sample)
        return image + noise * (image.max() - image.min()) * jax.random.normal(own, image.shape)

    return jax.vmap(add)(images, places)
