"""Picture files: which ones are read, and how their pixels become 8-bit grey or RGB, upright."""

from __future__ import annotations

import contextlib
import io
import logging
import struct
import warnings
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image, UnidentifiedImageError, features

from cnn_jax.data.host import orientation

# Pillow is asked for these alone: it would start Ghostscript for an EPS file.
_SUFFIXES = {
    "PNG": (".png",),
    "JPEG": (".jpg", ".jpeg", ".jfif", ".jpe"),
    "GIF": (".gif",),
    "BMP": (".bmp",),
    "WEBP": (".webp",),
    "TIFF": (".tif", ".tiff"),
}
if "avif" in features.modules and features.check_module("avif"):  # where Pillow was built with it
    _SUFFIXES["AVIF"] = (".avif",)
FORMATS = tuple(_SUFFIXES)
SUFFIXES = tuple(suffix for some in _SUFFIXES.values() for suffix in some)
MAX_PIXELS = 178_956_970  # the size from which Pillow takes a file for a decompression bomb

# Errors of Pillow and simplejpeg for damaged files.
FAULTS = (
    *(OSError, SyntaxError, ValueError, TypeError, LookupError, ArithmeticError, AttributeError, EOFError),
    *(NotImplementedError, struct.error, zlib.error, Image.DecompressionBombError),
)
# Pillow makes L and RGB of these.
_DIRECT = (*("1", "L", "P", "RGB", "RGBA", "RGBa", "RGBX"), *("CMYK", "YCbCr", "HSV", "LA", "PA"))
_BY_WAY_OF = {"La": "LA", "LAB": "RGB"}
_WITHOUT_RANGE = {"F": "floating-point numbers", "I": "signed or 32-bit whole numbers"}
_BITS_PER_SAMPLE, _PHOTOMETRIC, _WHITE_IS_ZERO = 258, 262, 0  # tags and a value of TIFF

# Of harmless oddities in files, and of sizes that `open_picture` refuses itself.
warnings.filterwarnings("ignore", module=r"PIL\.")
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)
logging.getLogger("PIL").addHandler(logging.NullHandler())  # else what it logs of damaged files is printed


class UnreadablePictureError(Exception):
    """A picture that cannot be read: damaged, no picture, or of a kind that is not read; the message says why."""


@contextlib.contextmanager
def unreadable() -> Iterator[None]:
    """Turns whatever decoders raise for damaged files into an `UnreadablePictureError`."""
    try:
        yield
    except UnidentifiedImageError:
        raise UnreadablePictureError(
            f"it is none of {', '.join(FORMATS)}, of a kind of these that is not read, or its header is damaged"
        ) from None
    except FAULTS as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise UnreadablePictureError(reason or f"it is damaged ({type(error).__name__})") from error


def refuse_size(width: int, height: int) -> None:
    """Refuses a picture by the size that its header declares, before it is decoded.

    Args:
      width, height: In pixels.

    Raises:
      UnreadablePictureError: Where it has more than MAX_PIXELS pixels, or none.
    """
    if width * height > MAX_PIXELS:
        raise UnreadablePictureError(
            f"it declares {width}x{height} pixels, more than the {MAX_PIXELS:,} that are read; make it smaller"
        )
    if width * height == 0:
        raise UnreadablePictureError(f"it declares {width}x{height} pixels")


def open_picture(source: Path | bytes) -> Image.Image:
    """Opens a picture and reads its header; nothing is decoded.

    Args:
      source: Picture file, or the content of one.

    Returns:
      Pillow's image, of one of FORMATS; a context that closes the file.

    Raises:
      UnreadablePictureError: Where the file cannot be read, is of another format, is too large, or has pixels whose
        range the format does not fix.
    """
    with unreadable():
        opened = Image.open(io.BytesIO(source) if isinstance(source, bytes) else source, formats=FORMATS)
        tiles = getattr(opened, "tile", ())
    try:
        refuse_size(*opened.size)
        if opened.mode in _WITHOUT_RANGE and not _is_sixteen_bits(opened):
            raise UnreadablePictureError(
                f"its pixels are {_WITHOUT_RANGE[opened.mode]}, and the file does not say which are black and white; "
                "save it with 8 or 16 bits"
            )
        if opened.mode == "RGB" and "transparency" in opened.info and any("16" in str(tile[3]) for tile in tiles):
            raise UnreadablePictureError("it has 16-bit colours with a transparent one; save it with 8 bits")
    except UnreadablePictureError:
        opened.close()
        raise
    return opened


def orientation_of(opened: Image.Image) -> int:
    """Reads the orientation of a picture, 1 to 8; 1 where there is none, or none that can be read.

    Pillow turns TIFF files itself when it decodes them, so theirs is 1.

    Raises:
      UnreadablePictureError: Where a PNG, which may have its orientation at its end, cannot be decoded.
    """
    if opened.format == "TIFF":
        return orientation.UPRIGHT
    if opened.format == "PNG":
        with unreadable():
            opened.load()  # getexif does so too, and the next load of a damaged file would then raise nothing
    try:
        value = opened.getexif().get(orientation.TAG)
    except FAULTS:
        return orientation.UPRIGHT  # a damaged note about a picture does not damage it
    return value if isinstance(value, int) and value in orientation.KNOWN else orientation.UPRIGHT


def converted(opened: Image.Image, mode: str) -> tuple[Image.Image, list[str]]:
    """Decodes a picture to grey ("L") or "RGB"; what is transparent is laid on white.

    16-bit grey is scaled by the range of its format, 0 to 65535 (12-bit TIFF: 0 to 4095).

    Args:
      opened: Image that `open_picture` gave.
      mode: "L" or "RGB".

    Returns:
      (the picture as it is stored, what was changed, in words).

    Raises:
      UnreadablePictureError: Where it cannot be decoded whole, or its colours are of a kind that is not known.
    """
    with unreadable():
        opened.load()
    picture, changes, stored = opened, [], opened.mode
    if _is_sixteen_bits(opened):
        picture, bits = _in_eight_bits(opened)
        changes.append(f"{bits} bits to 8")
        stored = "L"
    elif opened.mode in _BY_WAY_OF:
        picture = opened.convert(_BY_WAY_OF[opened.mode])
    elif opened.mode not in _DIRECT:
        raise UnreadablePictureError(f"its colours are of the mode {opened.mode}; save it as grey or RGB")
    if picture.has_transparency_data:
        clear = picture.convert("RGBA")
        picture = Image.alpha_composite(Image.new("RGBA", clear.size, "white"), clear).convert("RGB")
        changes.append("laid on white")
    if picture.mode != mode:
        changes.append(f"{stored} to {mode}")
        picture = picture.convert(mode)
    return picture, changes


def upright(opened: Image.Image, mode: str) -> tuple[UInt8[np.ndarray, "h w c"], list[str]]:
    """Decodes a picture whole, turned as its EXIF orientation says.

    Args:
      opened: Image that `open_picture` gave.
      mode: "L" or "RGB".

    Returns:
      (pixels, what was changed, in words).

    Raises:
      UnreadablePictureError: As `converted` does.
    """
    turn = orientation_of(opened)
    picture, changes = converted(opened, mode)
    pixels = np.asarray(picture, np.uint8).reshape(picture.height, picture.width, -1)
    if turn == orientation.UPRIGHT:
        return pixels, changes
    return orientation.apply(turn, pixels), ["turned upright", *changes]


def fit(file: Path, image_shape: tuple[int, int, int]) -> tuple[UInt8[np.ndarray, "h w c"], str]:
    """Reads a picture and brings it to a size and colour.

    Args:
      file: Picture file.
      image_shape: (height, width, channels) in pixels; 1 channel is grey, 3 are RGB.

    Returns:
      (pixels, what was changed, in words; empty where it fitted).

    Raises:
      UnreadablePictureError: Where it cannot be read whole; the message names the file.
    """
    try:
        pixels, changes = fitted(file, image_shape)
    except UnreadablePictureError as error:
        raise UnreadablePictureError(f"{file} cannot be read as a picture: {error}") from error
    return pixels, ", ".join(changes)


def fitted(
    source: Path | bytes | UInt8[np.ndarray, "oh ow oc"], image_shape: tuple[int, int, int]
) -> tuple[UInt8[np.ndarray, "h w c"], list[str]]:
    """Decodes a picture and brings it to a size and colour.

    Args:
      source: Picture file, the content of one, or pixels of 1 or 3 channels.
      image_shape: (height, width, channels) in pixels; 1 channel is grey, 3 are RGB.

    Returns:
      (pixels, what was changed, in words).

    Raises:
      UnreadablePictureError: Where it cannot be read whole.
    """
    height, width, channels = image_shape
    mode = "L" if channels == 1 else "RGB"
    if isinstance(source, np.ndarray):
        pixels, changes = source, []
        if pixels.shape[-1] != channels:
            picture = Image.fromarray(pixels.squeeze(-1) if pixels.shape[-1] == 1 else pixels)
            changes.append(f"{picture.mode} to {mode}")
            pixels = np.asarray(picture.convert(mode), np.uint8).reshape(*pixels.shape[:2], channels)
    else:
        with open_picture(source) as opened:
            pixels, changes = upright(opened, mode)
    if pixels.shape[:2] != (height, width):
        changes.append(f"resized from {pixels.shape[1]}x{pixels.shape[0]} to {width}x{height}")
        picture = Image.fromarray(pixels.squeeze(-1) if channels == 1 else pixels)
        # Pillow's is antialiased.
        pixels = np.asarray(picture.resize((width, height), Image.Resampling.BILINEAR), np.uint8)
    return pixels.reshape(image_shape), changes


def _is_sixteen_bits(opened: Image.Image) -> bool:
    """Whether pixels are grey of 9 to 16 bits; older Pillows open such a PNG in the mode I."""
    return opened.mode.startswith("I;16") or (opened.mode == "I" and opened.format == "PNG")


def _in_eight_bits(opened: Image.Image) -> tuple[Image.Image, int]:
    """Scales 16-bit grey to 8 bits, what is transparent included; and gives the bits that it had."""
    tags = getattr(opened, "tag_v2", {})
    bits = int(tags.get(_BITS_PER_SAMPLE, (16,))[0])
    top = 2**bits - 1
    scale = (np.minimum(np.arange(2**16), top) * 255 + top // 2) // top
    if tags.get(_PHOTOMETRIC) == _WHITE_IS_ZERO:
        scale = 255 - scale
    values = np.asarray(opened)
    grey = Image.fromarray(scale.astype(np.uint8)[values])
    if (clear := opened.info.get("transparency")) is not None:
        grey.putalpha(Image.fromarray(np.where(values == clear, 0, 255).astype(np.uint8)))
    return grey, bits
