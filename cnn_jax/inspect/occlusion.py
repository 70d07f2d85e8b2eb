"""Occlusion: the decrease of a class's logit when a window of the image is covered."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from cnn_jax import ops
from cnn_jax.inspect.attribution import apply_in_batches, batch_size, broadcast_baseline, checked
from cnn_jax.inspect.window_crops import Part, Places, changed_logits, plan_parts
from cnn_jax.models import Model, Variables
from cnn_jax.ops.padding import IntPair, pair


def occlusion(
    model: Model,
    variables: Variables,
    images: Float[Array, "b h w c"],
    classes: Int[Array, " b"],
    window: IntPair,
    strides: IntPair,
    baseline: float | Float[Array, "..."] = 0.0,
) -> Float[np.ndarray, "b h w"]:
    """Covers every window of an image in turn and measures the decrease of the class's logit.

    Windows start at the image's top left and move by the strides. If these do not divide the image, the last windows
    extend beyond its end and are truncated, so that every pixel is covered. A pixel's value is the mean decrease over
    all windows that cover it.

    Args:
      model: Network.
      variables: Its variables.
      images: Normalised pixels.
      classes: Class of each image, from 0.
      window: (height, width) of the window in pixels, or one number for both.
      strides: (height, width) in pixels between windows, or one number for both; at most the window.
      baseline: Normalised pixels of the cover: a number, or an array that broadcasts to the images.

    Returns:
      Mean decreases of the logit, positive where the image supports the class.

    Raises:
      GeometryError: If the images are too small for a layer.
      ValueError: If images, classes and network do not match, a result is not finite, or window, strides or baseline do
        not fit the images.

    Source: Zeiler and Fergus, "Visualizing and understanding convolutional networks", 2014, section 4.2.
    """
    pixels, numbers = checked(model, variables, images, classes)
    size, steps = pair(window, "window"), pair(strides, "strides")
    for axis, length in enumerate(pixels.shape[1:3]):
        if size[axis] > length:
            raise ValueError(f"window={size}: expected 1 to {length} pixels along the {('height', 'width')[axis]}")
        if steps[axis] > size[axis]:
            raise ValueError(f"strides={steps}: expected 1 to {size[axis]}, the window, or pixels are never covered")
    rows, columns = (window_starts(*each) for each in zip(pixels.shape[1:3], size, steps, strict=True))
    # The first window is outside the image, which gives the logit of the whole image by the same program.
    starts = np.array([pixels.shape[1:3], *((row, column) for row in rows for column in columns)], np.int32)
    count = batch_size(pixels.shape[1:3], len(starts))
    shape, windows = (pixels.shape[1], pixels.shape[2], pixels.shape[3]), tuple(map(tuple, starts.tolist()))
    parts, places = plan_parts(model, shape, windows, size)
    targets = tuple(part.target for part in parts)
    maps = []
    for image, cover, number in zip(pixels, broadcast_baseline(baseline, pixels), numbers, strict=True):
        kept = _outputs(model, variables, image, targets) if targets else []
        compute = functools.partial(_covered_logits, model, variables, (image, cover), number, size, parts, kept)
        logits = apply_in_batches(compute, count, starts, *(np.asarray(each) for place in places for each in place))
        falls = logits[0].astype(np.float64) - logits[1:]
        total, covered = np.zeros((2, *pixels.shape[1:3]))
        for (row, column), fall in zip(starts[1:], falls, strict=True):
            place = np.s_[row : row + size[0], column : column + size[1]]
            total[place] += fall
            covered[place] += 1
        maps.append((total / covered).astype(np.float32))
    return np.stack(maps)


def window_starts(pixels: int, window: int, stride: int) -> range:
    """Returns the positions of windows along an axis that cover every pixel.

    Args:
      pixels: Length of the axis.
      window: Length of the window, at most the axis.
      stride: Pixels between windows, at most the window.

    Returns:
      First pixel of each window; the last window may extend beyond the axis.
    """
    return range(0, pixels - window + stride, stride)


@functools.partial(jax.jit, static_argnums=(0, 3))
def _outputs(
    model: Model, variables: Variables, image: Float[Array, "h w c"], layers: tuple[str, ...]
) -> list[Float[Array, "..."]]:
    """Computes the outputs of layers for an image."""
    with ops.on_one_core():
        outputs = model.apply_with_layers(variables, image[None], layers)[3]
    return [outputs[name][0] for name in layers]


# More than seven parameters: `jax.jit` wants constants apart from arrays; places are cut into batches like windows.
@functools.partial(jax.jit, static_argnums=(0, 4, 5))
def _covered_logits(
    model: Model,
    variables: Variables,
    image_and_cover: tuple[Float[Array, "h w c"], Float[Array, "h w c"]],
    class_number: Int[Array, ""],
    size: tuple[int, int],
    parts: tuple[Part, ...],
    kept: list[Float[Array, "..."]],
    starts: Int[Array, "n 2"],
    *arrays: Array,
) -> Float[Array, " n"]:
    """Computes the logits of an image with each of the windows covered."""
    image, cover = image_and_cover
    inside = []
    for axis in range(2):
        offsets = jnp.arange(image.shape[axis]) - starts[:, axis, None]
        inside.append((offsets >= 0) & (offsets < size[axis]))
    covered = inside[0][:, :, None, None] & inside[1][:, None, :, None]
    images = jnp.where(covered, cover, image)
    fields = len(Places._fields)
    places = [Places(*arrays[fields * number : fields * (number + 1)]) for number in range(len(parts))]
    with ops.on_one_core():
        logits = changed_logits(model, variables, images, parts, places, kept)
    return logits[:, class_number].astype(jnp.float32)
