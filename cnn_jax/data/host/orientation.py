"""Orientation of a picture: the EXIF tag by which cameras say how stored pixels are to be turned.

Source: Exif 2.32 (CIPA DC-008), tag 0x0112.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import UInt8

if TYPE_CHECKING:
    from cnn_jax.data.host.resize import Box

UPRIGHT = 1
TAG = 0x0112
KNOWN = range(1, 9)
# Whether rows become columns, and whether the result is then mirrored left to right, and top to bottom.
_STEPS = {
    1: (False, False, False),
    2: (False, True, False),
    3: (False, True, True),
    4: (False, False, True),
    5: (True, False, False),
    6: (True, True, False),
    7: (True, True, True),
    8: (True, False, True),
}
_INVERSE = {6: 8, 8: 6}  # the others turn back what they have turned


def apply(turn: int, pixels: UInt8[np.ndarray, "..."]) -> UInt8[np.ndarray, "..."]:
    """Turns stored pixels.

    Args:
      turn: Orientation, 1 to 8.
      pixels: Stored pixels, [height, width, channels].
    """
    swapped, mirrored, flipped = _STEPS[turn]
    if swapped:
        pixels = pixels.swapaxes(0, 1)
    if mirrored:
        pixels = pixels[:, ::-1]
    if flipped:
        pixels = pixels[::-1]
    return np.ascontiguousarray(pixels)


def upright_size(turn: int, size: tuple[int, int]) -> tuple[int, int]:
    """Gives width and height of the picture that is upright.

    Args:
      turn: Orientation, 1 to 8.
      size: Width and height of the stored pixels.
    """
    return (size[1], size[0]) if _STEPS[turn][0] else size


def upright_box(turn: int, box: Box, size: tuple[int, int]) -> Box:
    """Finds where a part of the stored pixels lies in the upright picture.

    Args:
      turn: Orientation, 1 to 8.
      box: Part of the stored pixels.
      size: Width and height of the stored pixels.
    """
    swapped, mirrored, flipped = _STEPS[turn]
    left, top, right, bottom = box
    width, height = upright_size(turn, size)
    if swapped:
        left, top, right, bottom = top, left, bottom, right
    if mirrored:
        left, right = width - right, width - left
    if flipped:
        top, bottom = height - bottom, height - top
    return type(box)(left, top, right, bottom)


def stored_box(turn: int, box: Box, size: tuple[int, int]) -> Box:
    """Finds where a part of the upright picture is stored.

    Args:
      turn: Orientation, 1 to 8.
      box: Part of the upright picture.
      size: Width and height of the upright picture.
    """
    return upright_box(_INVERSE.get(turn, turn), box, size)
