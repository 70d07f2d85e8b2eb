"""Converts images with any number of channels to displayable pictures."""

from __future__ import annotations

import numpy as np
from jaxtyping import Shaped, UInt8


def shown(pixels: Shaped[np.ndarray, "h w c"]) -> UInt8[np.ndarray, "..."]:
    """Converts an image to 8-bit grayscale or RGB, as matplotlib and Pillow draw it.

    Args:
      pixels: Pixels 0 to 255, of any type.

    Returns:
      [h, w, 3] for three channels; [h, w] for one channel, or for any other number the mean of the channels.
    """
    channels = pixels.shape[-1]
    picture = pixels if channels in (1, 3) else pixels.mean(axis=-1, keepdims=True, dtype=np.float64)
    if picture.dtype != np.uint8:
        picture = np.clip(np.rint(picture), 0, 255).astype(np.uint8)
    return picture if channels == 3 else picture[..., 0]


def described(channels: int) -> str:
    """Returns a caption that says how an image is shown; empty if it is shown unchanged."""
    return "" if channels in (1, 3) else f"mean of {channels} channels"
