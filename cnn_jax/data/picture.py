"""One picture file as the network takes it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image


class UnreadablePictureError(Exception):
    """A file that is no picture, or a damaged one; the message names it."""


# What Pillow raises for files that are no pictures, or damaged ones.
FAULTS = (OSError, SyntaxError, ValueError, Image.DecompressionBombError)


def converted(opened: Image.Image, mode: str) -> tuple[Image.Image, list[str]]:
    """Brings a picture to grey ("L") or "RGB"; what is transparent is laid on white.

    Returns:
      (the picture, what was changed, in words).
    """
    picture, changes = opened, []
    if opened.mode in ("RGBA", "LA", "PA") or "transparency" in opened.info:
        clear = opened.convert("RGBA")
        picture = Image.alpha_composite(Image.new("RGBA", clear.size, "white"), clear).convert("RGB")
        changes.append("laid on white")
    if picture.mode != mode:
        changes.append(f"{opened.mode} to {mode}")
        picture = picture.convert(mode)
    return picture, changes


def fit(file: Path, image_shape: tuple[int, int, int]) -> tuple[UInt8[np.ndarray, "h w c"], str]:
    """Reads a picture and brings it to a size and colour.

    Args:
      file: a picture that Pillow reads.
      image_shape: (height, width, channels) in pixels; 1 channel is grey, 3 are RGB.

    Returns:
      (pixels, what was changed, in words; empty where it fitted).

    Raises:
      UnreadablePictureError: where it cannot be read whole.
    """
    height, width, channels = image_shape
    mode = "L" if channels == 1 else "RGB"
    try:
        with Image.open(file) as opened:
            opened.load()
            picture, changes = converted(opened, mode)
            if picture.size != (width, height):
                changes.append(f"resized from {picture.width}x{picture.height} to {width}x{height}")
                picture = picture.resize((width, height), Image.Resampling.BILINEAR)  # Pillow's is antialiased
            return np.asarray(picture, np.uint8).reshape(image_shape), ", ".join(changes)
    except FAULTS as error:
        raise UnreadablePictureError(f"{file} cannot be read as a picture: {error}") from error
