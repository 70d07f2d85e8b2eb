"""Random changes of training images, on the device and keyed: their order, moves and colours."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray, Shaped, UInt8

from cnn_jax.config import Augment
from cnn_jax.data.device.erasing import cutout, random_erasing
from cnn_jax.data.device.mixing import mix
from cnn_jax.data.device.pipeline import Colours, Normalization, normalize

# What a batch's key is for: a change's draws do not depend on which others are asked for.
_FLIP, _MOVE, _BRIGHTNESS, _CONTRAST, _LIGHTING, _ERASING, _NOISE, _CUTOUT, _MIX = range(9)


def augment(
    key: PRNGKeyArray,
    pixels: UInt8[Array, "b h w c"],
    targets: Float[Array, "b k"],
    config: Augment,
    constants: Normalization,
    colours: Colours | None = None,
) -> tuple[Float[Array, "b h w c"], Float[Array, "b k"]]:
    """Normalises a batch of training images, and changes them as a config asks.

    In this order: moves (flip, then shift or crop) of the bytes; colours (brightness, contrast, lighting) in
    float32, cut off at 0 and 255; normalisation; erasing, then cutout, of normalised images; in the end
    mixup or cutmix, which change the targets too. What is off costs nothing: it is not traced.

    Args:
      key: PRNG key of this batch.
      pixels: 0 to 255.
      targets: Probabilities of the classes.
      config: Changes, and their strength.
      constants: Constants of the normalisation.
      colours: Colour statistics of the training images, where the config needs them (`pipeline.preprocessing`).

    Returns:
      (normalised images, targets), of the same shapes.
    """

    def key_of(purpose: int) -> PRNGKeyArray:
        return jax.random.fold_in(key, purpose)

    if config.flip:
        pixels = random_flip(key_of(_FLIP), pixels)
    if config.shift:
        pixels = random_crop(key_of(_MOVE), pixels, config.shift)
    if config.crop_padding:
        pixels = random_crop(key_of(_MOVE), pixels, config.crop_padding, config.crop_border)
    coloured: Array = pixels
    if config.brightness or config.contrast or config.lighting:
        coloured = pixels.astype(jnp.float32)
        if config.brightness:
            coloured = random_brightness(key_of(_BRIGHTNESS), coloured, config.brightness)
        if config.contrast:
            coloured = random_contrast(key_of(_CONTRAST), coloured, config.contrast)
        if config.lighting:
            coloured = random_lighting(key_of(_LIGHTING), coloured, _given(colours), config.lighting)
        coloured = jnp.clip(coloured, 0, 255)
    images = normalize(coloured, constants)
    if config.erasing:
        if config.erasing_fill == "random":
            # One field of noise for the batch: one for each image takes longer than all other changes together.
            fill = normalize(jax.random.bits(key_of(_NOISE), images.shape[1:], jnp.uint8), constants)
        elif config.erasing_fill == "mean":
            fill = normalize(jnp.asarray(_given(colours).mean), constants)
        else:
            fill = jnp.zeros(())
        rectangles = config.erasing_area, config.erasing_aspect
        images = random_erasing(key_of(_ERASING), images, config.erasing, *rectangles, fill)
    if config.cutout:
        images = cutout(key_of(_CUTOUT), images, config.cutout)
    if config.mixup or config.cutmix:
        images, targets = mix(key_of(_MIX), images, targets, config.mixup, config.cutmix)
    return images, targets


def _given(colours: Colours | None) -> Colours:
    if colours is None:
        raise ValueError("augment: config.augment.lighting and erasing_fill='mean' need colours; got None")
    return colours


def unfit(config: Augment, image_shape: tuple[int, int, int]) -> list[str]:
    """Lists the changes that cannot work on images of a size.

    Args:
      config: Changes, and their strength.
      image_shape: (height, width, channels) in pixels.

    Returns:
      A message for each, naming its field and the nearest value that works.
    """
    height, width, channels = image_shape
    size, faults = f"images of {height}x{width} pixels", []
    if channels not in (1, 3):
        faults += [
            f"config.augment.{field}={getattr(config, field):g} changes colours, and the images have {channels} "
            f"channels; set config.augment.{field}=0"
            for field in ("brightness", "contrast", "lighting")
            if getattr(config, field)
        ]
    for field in ("shift", "crop_padding"):
        pixels, limit = getattr(config, field), min(height, width) - 1
        if pixels > limit:
            faults.append(f"config.augment.{field}={pixels} can move all of {size} out of sight; use at most {limit}")
    # With its centre in a corner a square of 2n - 1 pixels a side still covers n pixels.
    limit = 2 * max(height, width) - 2
    if config.cutout > limit:
        faults.append(f"config.augment.cutout={config.cutout} leaves nothing of {size}; use at most {limit}")
    least, (lowest, highest) = config.erasing_area[0], config.erasing_aspect
    flattest, tallest = least * height / width, height / (least * width)
    if config.erasing and (lowest > tallest or highest < flattest):
        faults.append(
            f"config.augment.erasing_aspect=({lowest:g}, {highest:g}): no rectangle of config.augment.erasing_area[0]="
            f"{least:g} of the area fits into {size}; use aspects between {flattest:.3g} and {tallest:.3g}"
        )
    return faults


# --- moves of the bytes -------------------------------------------------------------------------------


def random_flip(key: PRNGKeyArray, images: Shaped[Array, "b h w c"]) -> Shaped[Array, "b h w c"]:
    """Mirrors each image left to right with probability 1/2."""
    mirrored = jax.random.bernoulli(key, shape=(images.shape[0], 1, 1, 1))
    return jnp.where(mirrored, images[:, :, ::-1], images)


def random_crop(
    key: PRNGKeyArray, images: Shaped[Array, "b h w c"], pixels: int, border: str = "zeros"
) -> Shaped[Array, "b h w c"]:
    """Pads each image on all sides and crops it back to its size: a move by up to `pixels` in both directions.

    Args:
      key: PRNG key of this batch.
      images: Pixels, channels last.
      pixels: Width of the padding; every move from -pixels to pixels, down and to the right, is equally likely.
      border: Pixels that enter: "zeros", or "reflect", the image mirrored at the middle of its outermost pixels.

    Returns:
      Images of the same shape.

    Source: He et al., Deep Residual Learning for Image Recognition, 2016, section 4.2 (4 pixels, zeros).
    """
    batch, height, width, channels = images.shape
    sides = ((0, 0), (pixels, pixels), (pixels, pixels), (0, 0))
    padded = jnp.pad(images, sides, mode="reflect" if border == "reflect" else "constant")
    offsets = jax.random.randint(key, (batch, 2), 0, 2 * pixels + 1)

    def crop(image: Array, offset: Array) -> Array:
        return jax.lax.dynamic_slice(image, (offset[0], offset[1], 0), (height, width, channels))

    return jax.vmap(crop)(padded, offsets)


# --- colours ------------------------------------------------------------------------------------------


def random_brightness(key: PRNGKeyArray, pixels: Float[Array, "b h w c"], strength: float) -> Float[Array, "b h w c"]:
    """Multiplies each image by a factor, uniform between 1 - strength and 1 + strength; nothing is cut off."""
    return pixels * _factors(key, len(pixels), strength)


def random_contrast(key: PRNGKeyArray, pixels: Float[Array, "b h w c"], strength: float) -> Float[Array, "b h w c"]:
    """Stretches each image about its mean over pixels and channels; nothing is cut off.

    Args:
      key: PRNG key of this batch.
      pixels: 0 to 255.
      strength: The factor is uniform between 1 - strength and 1 + strength.

    Returns:
      Images of the same shape and the same means.
    """
    means = jnp.mean(pixels, axis=(1, 2, 3), keepdims=True)
    return means + (pixels - means) * _factors(key, len(pixels), strength)


def _factors(key: PRNGKeyArray, batch: int, strength: float) -> Float[Array, "b 1 1 1"]:
    return jax.random.uniform(key, (batch, 1, 1, 1), minval=1 - strength, maxval=1 + strength)


def random_lighting(
    key: PRNGKeyArray, pixels: Float[Array, "b h w c"], colours: Colours, std: float = 0.1
) -> Float[Array, "b h w c"]:
    """Adds one colour to each image: a random step along every principal component of the training pixels.

    The step along a component is its eigenvalue, of pixels / 255, times a Gaussian draw. Grey images have one
    component, and become brighter or darker as a whole. Nothing is cut off.

    Args:
      key: PRNG key of this batch.
      pixels: 0 to 255.
      colours: Colour statistics of the training images.
      std: Standard deviation of the draws.

    Returns:
      Images of the same shape.

    Source: Krizhevsky et al., ImageNet Classification with Deep Convolutional Neural Networks, 2012, section 4.1.
    """
    draws = std * jax.random.normal(key, (len(pixels), len(colours.eigenvalues)))
    # Few numbers, but exact ones: a matrix product may round its factors on a GPU or TPU.
    steps = jnp.sum((draws * colours.eigenvalues)[:, None, :] * colours.eigenvectors, axis=-1)
    return pixels + 255 * steps[:, None, None, :]
