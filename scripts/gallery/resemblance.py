"""How much reconstructions resemble the patches that they are of."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from scipy.ndimage import gaussian_filter

from cnn_jax.inspect.patches import TopPatches
from cnn_jax.ops.activation import ReluBackward

_FINE, _COARSE = 1, 4  # standard deviations, in pixels, of the Gaussians between which structure is compared
_AROUND = 8  # standard deviation, in pixels, of the Gaussian around a signal within which the patch counts


def resemblance(found: TopPatches, rule: ReluBackward) -> float:
    """Gives the median correlation of reconstructions with their patches.

    Of both the mean over the colours is taken, blurred by a Gaussian of 1 pixel, less the same blurred by one of 4:
    edges and lines of a few pixels. Pixels are weighted by the power of the reconstruction around them, so that the
    part of the patch counts that the reconstruction shows.

    Args:
      found: Patches of a layer.
      rule: Rule for rectifiers with which the signals were led back.

    Returns:
      The median over all patches, from -1 to 1.
    """
    correlations = []
    for index in np.argwhere(found.units.images >= 0):
        box = found.units.boxes[tuple(index)]
        signal, patch = (
            each[tuple(index)][: box[2], : box[3]].mean(axis=-1, dtype=np.float64)
            for each in (found.reconstructions[rule], found.pixels)
        )
        if signal.any():
            correlations.append(_correlation(_lines(signal), _lines(patch), gaussian_filter(signal**2, _AROUND)))
    return float(np.median(correlations))


def _lines(picture: Float[np.ndarray, "h w"]) -> Float[np.ndarray, "h w"]:
    return gaussian_filter(picture, _FINE) - gaussian_filter(picture, _COARSE)


def _correlation(
    one: Float[np.ndarray, "h w"], other: Float[np.ndarray, "h w"], weights: Float[np.ndarray, "h w"]
) -> float:
    """Pearson's correlation of weighted pixels; 0 where one of the pictures is of one value."""
    one, other = (each - np.average(each, weights=weights) for each in (one, other))
    variances = np.average(one**2, weights=weights) * np.average(other**2, weights=weights)
    return float(np.average(one * other, weights=weights) / np.sqrt(variances)) if variances else 0.0
