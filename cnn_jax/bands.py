"""Images of any number of channels as pictures for the eye."""

from __future__ import annotations

import numpy as np
from jaxtyping import Shaped, UInt8


def shown(pixels: Shaped[np.ndarray, "h w c"]) -> UInt8[np.ndarray, "..."]:
    """Makes of an image what matplotlib and Pillow draw: grey or RGB, 8 bits.

    Args:
      pixels: Pixels 0 to 255, of any type.

    Returns:
      [h, w, 3] of three channels; [h, w] of one, and of any other number their mean.
    """
    channels = pixels.shape[-1]
    picture = pixels if channels in (1, 3) else pixels.mean(axis=-1, keepdims=True, dtype=np.float64)
    if picture.dtype != np.uint8:
        picture = np.clip(np.rint(picture), 0, 255).astype(np.uint8)
    return picture if channels == 3 else picture[..., 0]


def described(channels: int) -> str:
    """Says how an image of so many channels is shown where that is not as it is; else empty."""
    return "" if channels in (1, 3) else f"mean of {channels} channels"
