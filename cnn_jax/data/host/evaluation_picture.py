"""One picture file as evaluation sees it, for every data source."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from cnn_jax.config import Data, Records
from cnn_jax.data.host.crops import CentreCrop
from cnn_jax.data.host.picture import UnreadablePictureError, fit, open_picture


def read_picture(file: Path, config: Data, image_shape: tuple[int, int, int]) -> tuple[UInt8[np.ndarray, "h w c"], str]:
    """Reads a picture as the evaluation of a data source does.

    Records resize the shorter side and take the middle; all other sources resize the whole picture.

    Args:
      file: Picture file.
      config: Data section of the config.
      image_shape: (height, width, channels) in pixels that the network takes.

    Returns:
      (pixels, what was changed, in words; empty where it fitted).

    Raises:
      UnreadablePictureError: Where it cannot be read whole.
    """
    return read_middle(file, CentreCrop.of(config)) if isinstance(config, Records) else fit(file, image_shape)


def read_middle(file: Path, view: CentreCrop) -> tuple[UInt8[np.ndarray, "h w c"], str]:
    """Reads the middle of a picture file.

    Args:
      file: Picture file.
      view: Sizes of the middle and of what it is taken from.

    Returns:
      As `read_picture`.

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
