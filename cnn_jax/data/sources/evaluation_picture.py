"""One picture file as evaluation sees it, for every data source."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from jaxtyping import Float32, UInt8

from cnn_jax.config import Data, Npz, Pictures, Records
from cnn_jax.data.errors import DataError
from cnn_jax.data.host.crops import CentreCrop, evaluation_crop
from cnn_jax.data.host.picture import UnreadablePictureError, fit, open_picture
from cnn_jax.data.sources import npz_file


def read_picture(
    file: Path, config: Data, image_shape: tuple[int, int, int], dtype: str = "uint8"
) -> tuple[UInt8[np.ndarray, "h w c"] | Float32[np.ndarray, "h w c"], str]:
    """Reads a picture as the evaluation of a data source does.

    Where evaluation cuts, the shorter side is resized and the middle taken; all other sources resize the whole picture.
    Of a source of NumPy arrays, .npy files are read as its arrays are.

    Args:
      file: Picture file.
      config: Data section of the config.
      image_shape: (height, width, channels) in pixels that the network takes.
      dtype: Type of the pixels that it takes, "uint8" or "float32".

    Returns:
      (pixels, what was changed, in words; empty where it fitted).

    Raises:
      UnreadablePictureError: Where it cannot be read whole.
    """
    if isinstance(config, Npz):
        return _read_array(file, config, image_shape, dtype)
    view = evaluation_crop(config, image_shape) if isinstance(config, Pictures | Records) else None
    return fit(file, image_shape) if view is None else read_middle(file, view)


def read_middle(file: Path, view: CentreCrop) -> tuple[UInt8[np.ndarray, "h w c"], str]:
    """Reads the middle of a picture file.

    Args:
      file: Picture file.
      view: Sizes of the middle and of what it is taken from.

    Returns:
      (pixels, what was changed, in words; empty where it fitted).

    Raises:
      UnreadablePictureError: Where it cannot be read whole.
    """
    try:
        with open_picture(file):  # before a large file of another kind is read whole
            content = file.read_bytes()
        pixels, box, size = view.read(content)
    except UnreadablePictureError as error:
        raise UnreadablePictureError(f"{file} cannot be read as a picture: {error}") from error
    width, height = size
    whole = (box.left, box.top, box.right, box.bottom) == (0, 0, view.side, view.side) and size == (
        view.side,
        view.side,
    )
    if whole:
        return pixels, ""
    return pixels, f"the middle {box.right - box.left:g} pixels of {width}x{height}, resized to {view.side}x{view.side}"


def _read_array(
    file: Path, config: Npz, image_shape: tuple[int, int, int], dtype: str
) -> tuple[UInt8[np.ndarray, "h w c"] | Float32[np.ndarray, "h w c"], str]:
    """Reads an image of the kind of an .npz file's: a .npy file, or a picture file of such pixels."""
    if file.suffix.lower() == ".npy":
        try:
            return npz_file.read_image(file, image_shape, config.value_range, dtype), ""
        except DataError as error:
            raise UnreadablePictureError(str(error)) from error
    if dtype != "uint8" or image_shape[2] not in (1, 3):
        kind = f"{image_shape[2]} channels of {'8 bits' if dtype == 'uint8' else 'more than 8 bits'}"
        raise UnreadablePictureError(
            f"{file}: the network takes images of {kind}, which picture files do not hold; give .npy files of arrays "
            f"like those of {config.file}"
        )
    return fit(file, image_shape)
