"""A part of an encoded picture at the size that the network takes, decoding no more than it must.

Four things make it fast:

- Sequential JPEGs of one or three colours are decoded by libjpeg-turbo without Pillow's detours; Pillow has the same
  library, and the pixels are the same to the last bit. It decodes all else.
- What lies below the part is never decoded, and in a JPEG with restart markers nor is what lies above and beside it
  (`cnn_jax.data.host.jpeg`). Again the pixels are the same. Progressive JPEGs are decoded whole.
- A part at least 2, 4 or 8 times as large as what is asked for is decoded at that fraction of its size, by
  libjpeg's smaller inverse transforms. That changes the pixels a little, as a better filter in place of Pillow's
  would; a part below twice the size is decoded in full, whatever the picture's size.
- A grey picture is asked for as such, and then its colours are not decoded.

A picture is upright: its EXIF orientation is applied to the pixels that were decoded, and parts are parts of the
upright picture. PyTorch's and TensorFlow's readers leave pictures as they are stored.
"""

from __future__ import annotations

import math

import numpy as np
import simplejpeg
from jaxtyping import UInt8
from PIL import Image

from cnn_jax.data.host import jpeg, orientation
from cnn_jax.data.host.jpeg import Jpeg, Part
from cnn_jax.data.host.picture import converted, open_picture, orientation_of, refuse_size, unreadable
from cnn_jax.data.host.resize import Box, Resize

_SCALES = (8, 4, 2, 1)


class Picture:
    """An encoded picture of which the header has been read.

    Attributes:
      width, height: Size of the upright picture, in pixels.
    """

    def __init__(self, content: bytes):
        """Reads the header.

        Args:
          content: The picture's file.

        Raises:
          UnreadablePictureError: where it is no picture, or none that is read.
        """
        self._content = content
        self._jpeg = jpeg.read(content)
        self._turn = orientation.UPRIGHT
        if self._jpeg is not None:
            size = self._jpeg.width, self._jpeg.height
            refuse_size(*size)
        if self._jpeg is None or self._jpeg.may_be_turned:
            self._opened = open_picture(content)
            self._turn = orientation_of(self._opened)
            size = self._opened.size
        self.width, self.height = orientation.upright_size(self._turn, size)

    def part(self, box: Box, side: int, channels: int, resize: Resize) -> UInt8[np.ndarray, "side side c"]:
        """Decodes a part and resizes it to a square.

        Args:
          box: The part.
          side: Side of the square, in pixels.
          channels: 1 for grey, 3 for RGB.
          resize: A function of `cnn_jax.data.host.resize`.

        Returns:
          Pixels.

        Raises:
          UnreadablePictureError: where the picture is damaged.
        """
        mode = "L" if channels == 1 else "RGB"
        if self._turn != orientation.UPRIGHT:
            box = orientation.stored_box(self._turn, box, (self.width, self.height))
        across, down = (box.right - box.left) / side, (box.bottom - box.top) / side
        scale = next(scale for scale in _SCALES if scale <= max(min(across, down), 1))
        content, left, top = self._around(box, max(across, scale), max(down, scale), scale)
        if self._jpeg is not None and _is_plain(content, self._jpeg, mode):
            pixels = _decoded(content, mode, scale)
        elif self._jpeg is not None or self._opened.format == "JPEG":
            pixels, scale = _decoded_by_pillow(content, mode, scale)
        else:
            pixels, scale = _pixels(self._opened, mode), 1
        moved = Box(*(edge / scale for edge in (box.left - left, box.top - top, box.right - left, box.bottom - top)))
        if self._turn != orientation.UPRIGHT:
            moved = orientation.upright_box(self._turn, moved, (pixels.shape[1], pixels.shape[0]))
            pixels = orientation.apply(self._turn, pixels)
        return resize(pixels, moved, side)

    def _around(self, box: Box, across: float, down: float, scale: int) -> Part:
        """The picture's file, without what the part does not depend on where that can be.

        Args:
          box: The part, as it is stored.
          across, down: Pixels that the filter reaches beyond it.
          scale: Scale to decode it at.
        """
        if self._jpeg is None:
            return Part(self._content)
        # Colours that are stored at fewer points are interpolated with their neighbours.
        wide, tall = (scale * pixels for pixels in self._jpeg.sampling)
        return jpeg.part(
            self._content,
            self._jpeg,
            math.floor(box.left - across) - wide,
            math.floor(box.top - down) - tall,
            math.ceil(box.right + across) + wide,
            math.ceil(box.bottom + down) + tall,
        )


def _is_plain(content: bytes | bytearray, headers: Jpeg, mode: str) -> bool:
    """Whether this file is whole and sequential, and its colours are those that are stored or their luma."""
    if not headers.sequential or headers.colours not in (1, 3) or not jpeg.is_whole(content):
        return False
    with unreadable():
        return mode == "RGB" or simplejpeg.decode_jpeg_header(content)[2] in ("Gray", "YCbCr")


def _decoded(content: bytes | bytearray, mode: str, scale: int) -> UInt8[np.ndarray, "h w c"]:
    """Decodes a plain JPEG at a fraction of its size, 1 over 1, 2, 4 or 8."""
    with unreadable():
        height, width = simplejpeg.decode_jpeg_header(content)[:2]
        return simplejpeg.decode_jpeg(
            content,
            "GRAY" if mode == "L" else "RGB",
            min_height=-(-height // scale),
            min_width=-(-width // scale),
            min_factor=scale,
            strict=False,  # code is left over where rows were cut off, and a warning of it would be an error
        )


def _decoded_by_pillow(content: bytes | bytearray, mode: str, scale: int) -> tuple[UInt8[np.ndarray, "h w c"], int]:
    """Decodes any JPEG at a fraction of its size; and says at which."""
    with open_picture(bytes(content)) as opened:
        width, height = opened.size
        if opened.format == "JPEG":
            with unreadable():
                opened.draft(mode, (max(width // scale, 1), max(height // scale, 1)))
        return _pixels(opened, mode), round(width / opened.width)


def _pixels(opened: Image.Image, mode: str) -> UInt8[np.ndarray, "h w c"]:
    """Decodes a picture whole, as it is stored."""
    picture, _ = converted(opened, mode)
    return np.asarray(picture).reshape(picture.height, picture.width, -1)
