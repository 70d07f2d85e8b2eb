"""Which part of a picture a network sees: a random one in training, the middle in evaluation."""

from __future__ import annotations

import dataclasses
import functools
import math
from typing import Any, Literal, Protocol

import numpy as np
from jaxtyping import Shaped, UInt8
from PIL import Image

from cnn_jax.config import Pictures, Records
from cnn_jax.data.host import resize
from cnn_jax.data.host.decode import Picture
from cnn_jax.data.host.picture import UnreadablePictureError, fitted
from cnn_jax.data.host.resize import Box

_TRIES = 10
_GRID = 64  # places in a pixel where a middle's edges may be; moved by whole pixels, these keep their exact values


class View(Protocol):
    """View of an example that a network sees."""

    @property
    def dtype(self) -> str:
        """Type of the pixels, "uint8" or "float32"."""

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(height, width, channels) in pixels."""

    def __call__(self, picture: Any, draws: np.random.Generator, /) -> Shaped[np.ndarray, "h w c"]:
        """Gives the pixels that the network sees; what is random is taken from `draws`."""


class _Decoded:
    """View whose pixels have 8 bits."""

    dtype = "uint8"


@dataclasses.dataclass(frozen=True)
class _Square(_Decoded):
    """View of a square.

    Attributes:
      side: Side of the square that is seen, in pixels.
      channels: 1 for grey, 3 for RGB.
    """

    side: int
    channels: int

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(height, width, channels) in pixels."""
        return self.side, self.side, self.channels


@dataclasses.dataclass(frozen=True)
class AsHeld:
    """Images that lie in memory as the network sees them.

    Attributes:
      image_shape: (height, width, channels) in pixels.
      dtype: Type of the pixels, "uint8" or "float32".
    """

    image_shape: tuple[int, int, int]
    dtype: str = "uint8"

    def __call__(self, picture: Shaped[np.ndarray, "h w c"], draws: np.random.Generator) -> Shaped[np.ndarray, "h w c"]:
        """Gives the image itself."""
        return picture


@dataclasses.dataclass(frozen=True)
class WholePicture(_Decoded):
    """A whole picture, resized where it has another size.

    Attributes:
      image_shape: (height, width, channels) in pixels.
      resized: Whether pictures of another size are resized; else they are errors.
    """

    image_shape: tuple[int, int, int]
    resized: bool = True

    def __call__(
        self, picture: bytes | UInt8[np.ndarray, "h w c"], draws: np.random.Generator
    ) -> UInt8[np.ndarray, "h w c"]:
        """Decodes an encoded picture, or takes pixels; draws nothing."""
        pixels, changes = fitted(picture, self.image_shape)
        if not self.resized and (sizes := [change for change in changes if change.startswith("resized from")]):
            raise UnreadablePictureError(
                f"its size differs from the first picture's ({sizes[0].removeprefix('resized ')}); set "
                "config.data.height and config.data.width, to which all are then resized"
            )
        return pixels


@dataclasses.dataclass(frozen=True)
class RandomResizedCrop(_Square):
    """A random part of random size and shape, mirrored half of the time.

    Attributes:
      area: Least and greatest share of the picture, drawn evenly.
      aspect: Least and greatest width over height, drawn evenly on a logarithmic scale.
      mirror: Whether half of the parts are mirrored left to right.

    Source: Szegedy et al., 2015, section 6, as PyTorch's RandomResizedCrop has it: where ten draws do not fit into
    the picture, the middle is taken, of the nearest shape allowed.
    """

    area: tuple[float, float] = (0.08, 1.0)
    aspect: tuple[float, float] = (3 / 4, 4 / 3)
    mirror: bool = True

    def __call__(self, content: bytes, draws: np.random.Generator) -> UInt8[np.ndarray, "side side c"]:
        """Takes the part that `draws` decide on from an encoded picture."""
        picture = Picture(content)
        mirrored = draws.random() < 0.5 and self.mirror
        box = self.box(picture.width, picture.height, draws)
        square = picture.part(box, self.side, self.channels, resize.quickly)
        return _mirrored(square) if mirrored else square

    def box(self, width: int, height: int, draws: np.random.Generator) -> Box:
        """Draws the part of a picture of this size."""
        low, high = (math.log(aspect) for aspect in self.aspect)
        for _ in range(_TRIES):
            area = width * height * draws.uniform(*self.area)
            aspect = math.exp(draws.uniform(low, high))
            wide, tall = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
            if 0 < wide <= width and 0 < tall <= height:
                left, top = int(draws.integers(width - wide + 1)), int(draws.integers(height - tall + 1))
                return Box(left, top, left + wide, top + tall)
        aspect = min(max(width / height, self.aspect[0]), self.aspect[1])
        wide, tall = min(width, max(round(height * aspect), 1)), min(height, max(round(width / aspect), 1))
        left, top = (width - wide) // 2, (height - tall) // 2
        return Box(left, top, left + wide, top + tall)


@dataclasses.dataclass(frozen=True)
class CentreCrop(_Square):
    """The middle of a picture whose shorter side is resized first.

    Both are one reading of the picture: its middle square, of `side` / `shorter_side` of its shorter side.

    Attributes:
      shorter_side: In pixels, what the picture's shorter side is resized to; at least `side`.
      interpolation: Filter of the resizing.
    """

    shorter_side: int
    interpolation: Literal["bilinear", "bicubic"] = "bilinear"

    def __call__(self, content: bytes, draws: np.random.Generator) -> UInt8[np.ndarray, "side side c"]:
        """Takes the middle of an encoded picture; draws nothing."""
        return self.read(content)[0]

    def read(self, content: bytes) -> tuple[UInt8[np.ndarray, "side side c"], Box, tuple[int, int]]:
        """Takes the middle of an encoded picture.

        Args:
          content: The picture's file.

        Returns:
          (its pixels, where it lies in the picture, the picture's width and height).
        """
        picture = Picture(content)
        box = self.box(picture.width, picture.height)
        how = functools.partial(resize.exactly, interpolation=Image.Resampling[self.interpolation.upper()])
        pixels = picture.part(box, self.side, self.channels, how)
        return pixels, box, (picture.width, picture.height)

    def box(self, width: int, height: int) -> Box:
        """The middle of a picture of this size, its half side to a sixty-fourth of a pixel."""
        square = min(width, height) * self.side / self.shorter_side
        half = max(round(square / 2 * _GRID), 1) / _GRID
        return Box(width / 2 - half, height / 2 - half, width / 2 + half, height / 2 + half)


def evaluation_crop(config: Pictures | Records, image_shape: tuple[int, int, int]) -> CentreCrop | None:
    """Makes the crop that evaluation takes; None where it sees whole pictures.

    Args:
      config: The source.
      image_shape: (height, width, channels) that the network sees.
    """
    if config.crop_area is None and config.shorter_side is None:
        return None
    side, _, channels = image_shape
    return CentreCrop(side, channels, config.shorter_side or round(side * 8 / 7))


def _mirrored(square: UInt8[np.ndarray, "side side c"]) -> UInt8[np.ndarray, "side side c"]:
    """Left to right, by channels: NumPy takes nine times as long where it moves pixels of three bytes each."""
    turned = np.empty_like(square)
    for channel in range(square.shape[-1]):
        turned[..., channel] = square[:, ::-1, channel]
    return turned
