"""A part of an encoded picture at the size that the network takes, decoding no more than it must.

Four things make it fast:

- Sequential JPEGs of one or three colours are decoded by libjpeg-turbo without Pillow's detours; Pillow has the same
  library, and the pixels are the same to the last bit. It decodes all else.
- A JPEG's rows come from top to bottom, so what lies below the part is never decoded: the copy that is decoded says
  in its header that it ends there. Again the pixels are the same. Progressive JPEGs are decoded whole.
- A part at least 2, 4 or 8 times as large as what is asked for is decoded at that fraction of its size, by
  libjpeg's smaller inverse transforms. That changes the pixels a little, as a better filter in place of Pillow's
  would; a part below twice the size is decoded in full, whatever the picture's size.
- A grey picture is asked for as such, and then its colours are not decoded.

EXIF's orientation is not looked at, as PyTorch's and TensorFlow's readers do not.
"""

from __future__ import annotations

import io
import math
from typing import NamedTuple

import numpy as np
import simplejpeg
from jaxtyping import UInt8
from PIL import Image

from cnn_jax.data.picture import converted
from cnn_jax.data.resize import Box, Resize

_SCALES = (8, 4, 2, 1)
# Luminance rows that a row's colours can depend on: chroma is stored at down to a quarter of the rows, and
# interpolated with its neighbours.
_CHROMA_REACH = 8
_END = b"\xff\xd9"  # of a JPEG that is whole; its pixels' code never has these two bytes
_TAIL = 64  # last bytes of a file, in which the end is looked for: some writers leave something behind it


class Picture:
    """An encoded picture of which the header has been read.

    Attributes:
      width, height: in pixels.
    """

    def __init__(self, content: bytes):
        """Reads the header; raises one of `picture.FAULTS` where it is none."""
        self._content = content
        self._frame = _frame(content)
        if self._frame is not None:
            self.width, self.height = self._frame.width, self._frame.height
        else:
            with Image.open(io.BytesIO(content)) as opened:
                self.width, self.height = opened.size

    def part(self, box: Box, side: int, channels: int, resize: Resize) -> UInt8[np.ndarray, "side side c"]:
        """Decodes a part and resizes it to a square.

        Args:
          box: the part.
          side: of the square, in pixels.
          channels: 1 for grey, 3 for RGB.
          resize: a function of `cnn_jax.data.resize`.

        Returns:
          Pixels.

        Raises:
          FAULTS: of `cnn_jax.data.picture`, where the picture is damaged.
        """
        mode = "L" if channels == 1 else "RGB"
        smaller = min((box.right - box.left) / side, (box.bottom - box.top) / side)
        scale = next(scale for scale in _SCALES if scale <= max(smaller, 1))
        content = self._until(box, side, scale)
        if self._frame is not None and self._frame.is_plain(content, mode):
            pixels = _decoded(content, mode, scale)
        else:
            pixels, scale = _decoded_by_pillow(content, mode, scale)
        return resize(pixels, Box(*(edge / scale for edge in box)), side)

    def _until(self, box: Box, side: int, scale: int) -> bytes:
        """The picture's file, without the rows that the part does not depend on where that can be."""
        if self._frame is None:
            return self._content
        filter_reach = max((box.bottom - box.top) / side, scale)
        rows = math.ceil(box.bottom + filter_reach) + scale * _CHROMA_REACH
        if rows >= self.height:
            return self._content
        cut = bytearray(self._content)
        cut[self._frame.height_at : self._frame.height_at + 2] = rows.to_bytes(2, "big")
        return bytes(cut)


class _Frame(NamedTuple):
    """What a JPEG's frame header says, and where in the file it says the height."""

    width: int
    height: int
    colours: int
    height_at: int

    def is_plain(self, content: bytes, mode: str) -> bool:
        """Whether this file is whole, and its colours are those that are stored or their luma."""
        if self.colours not in (1, 3) or _END not in content[-_TAIL:]:
            return False
        return mode == "RGB" or simplejpeg.decode_jpeg_header(content)[2] in ("Gray", "YCbCr")


def _decoded(content: bytes, mode: str, scale: int) -> UInt8[np.ndarray, "h w c"]:
    """Decodes a plain JPEG at a fraction of its size, 1 over 1, 2, 4 or 8."""
    height, width = simplejpeg.decode_jpeg_header(content)[:2]
    return simplejpeg.decode_jpeg(
        content,
        "GRAY" if mode == "L" else "RGB",
        min_height=-(-height // scale),
        min_width=-(-width // scale),
        min_factor=scale,
        strict=False,  # code is left over where rows were cut off, and a warning of it would be an error
    )


def _decoded_by_pillow(content: bytes, mode: str, scale: int) -> tuple[UInt8[np.ndarray, "h w c"], int]:
    """Decodes any picture, a JPEG at a fraction of its size; and says at which."""
    with Image.open(io.BytesIO(content)) as opened:
        if opened.format == "JPEG":
            width, height = opened.size
            opened.draft(mode, (max(width // scale, 1), max(height // scale, 1)))
            scale = round(width / opened.width)
        else:
            scale = 1
        picture, _ = converted(opened, mode)
        pixels = np.asarray(picture)
        return pixels.reshape(*pixels.shape[:2], -1), scale


def _frame(content: bytes) -> _Frame | None:
    """Finds the frame header of a sequential JPEG; None for all else.

    Source: ITU-T T.81, B.1.1 and B.2.2.
    """
    if content[:2] != b"\xff\xd8":
        return None
    at = 2
    while content[at : at + 1] == b"\xff" and at + 10 <= len(content):
        marker = content[at + 1]
        if marker in (0xC0, 0xC1):  # baseline and extended sequential, Huffman codes
            height, width = (int.from_bytes(content[at + start : at + start + 2], "big") for start in (5, 7))
            return _Frame(width, height, content[at + 9], at + 5) if width and height else None
        if not (0xE0 <= marker <= 0xEF or marker in (0xFE, 0xC4, 0xDB, 0xDD)):  # APPn, COM, DHT, DQT, DRI
            return None
        at += 2 + int.from_bytes(content[at + 2 : at + 4], "big")
    return None
