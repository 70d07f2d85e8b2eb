"""Changes of pictures for measuring a network's behaviour: shifts, rotations, noise, blur, occlusion.

All change pixels from 0 to 255, before the network's normalisation. Level 0 leaves pictures unchanged.
"""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np
from jaxtyping import UInt8
from scipy import ndimage

ChangeName = Literal["shift", "rotation", "noise", "blur", "occlusion"]
CHANGES: tuple[ChangeName, ...] = get_args(ChangeName)
UNITS: dict[ChangeName, str] = {
    "shift": "pixels",
    "rotation": "degrees",
    "noise": "standard deviation, of 255",
    "blur": "standard deviation, pixels",
    "occlusion": "side of the square, pixels",
}
_DIRECTIONS = ((0, 1), (0, -1), (1, 0), (-1, 0))  # right, left, down, up

Pictures = UInt8[np.ndarray, "n h w c"]


def levels(name: ChangeName, size: tuple[int, int]) -> tuple[float, ...]:
    """Returns the default levels of a change.

    Args:
      name: Kind of the change.
      size: (height, width) of the pictures in pixels.

    Returns:
      Increasing levels from 0, in the units of `UNITS`.
    """
    shorter = min(size)
    match name:
        case "shift":
            return tuple(range(min(6, shorter - 1) + 1))
        case "rotation":
            return (0, 5, 10, 15, 30, 45, 90)
        case "noise":
            return (0, 8, 16, 32, 64, 128)
        case "blur":
            return (0, 0.5, 1, 1.5, 2, 3)
        case "occlusion":
            return tuple(dict.fromkeys(round(share * shorter) for share in (0, 1 / 8, 1 / 4, 3 / 8, 1 / 2)))


def change(name: ChangeName, pictures: Pictures, level: float, seed: int = 0, first: int = 0) -> Pictures:
    """Changes pictures.

    - shift: by `level` pixels to the right, left, down and up in turn from picture to picture; the edge is repeated.
    - rotation: by `level` degrees about the middle, alternately counter-clockwise and clockwise; bilinear; the edge is
    repeated.
    - noise: Gaussian with standard deviation `level`, clipped at 0 and 255.
    - blur: Gaussian with a standard deviation of `level` pixels; the edge is repeated.
    - occlusion: a square of side `level` at a random position inside, in the picture's mean colour.

    Args:
      name: Kind of the change.
      pictures: Pixels 0 to 255.
      level: Strength of the change; 0 leaves the pictures unchanged.
      seed: Seed of the noise and of the squares' positions, which are the same for all levels.
      first: Index of the first picture among all pictures, if they are changed in batches.

    Returns:
      Changed pictures.

    Raises:
      ValueError: For an unknown change, a negative level, or a shift or square that is not a whole number of pixels or
        exceeds the picture.
    """
    if name not in CHANGES:
        raise ValueError(f"change {name!r}: expected one of {', '.join(CHANGES)}")
    if not 0 <= level < np.inf:
        raise ValueError(f"{name} of {level}: expected a number from 0")
    if name in ("shift", "occlusion"):
        largest = min(pictures.shape[1:3])
        if level != int(level) or level > largest:
            raise ValueError(
                f"{name} of {level}: expected whole pixels from 0 to {largest}, the picture's shorter side"
            )
    if level == 0:
        return pictures
    match name:
        case "shift":
            return _shifted(pictures, int(level), first)
        case "rotation":
            return _rotated(pictures, level, first)
        case "noise":
            added = np.random.default_rng((seed, first)).standard_normal(pictures.shape, np.float32)
            return _pixels(pictures + np.float32(level) * added)
        case "blur":
            return _pixels(ndimage.gaussian_filter(pictures.astype(np.float32), (0, level, level, 0), mode="nearest"))
        case "occlusion":
            return _occluded(pictures, int(level), np.random.default_rng((seed, first)))


def _pixels(values: np.ndarray) -> Pictures:
    return np.rint(np.clip(values, 0, 255)).astype(np.uint8)


def _shifted(pictures: Pictures, level: int, first: int) -> Pictures:
    shifted = np.empty_like(pictures)
    height, width = pictures.shape[1:3]
    for number in range(len(_DIRECTIONS)):
        down, right = _DIRECTIONS[(first + number) % len(_DIRECTIONS)]
        rows = np.clip(np.arange(height) - level * down, 0, height - 1)
        columns = np.clip(np.arange(width) - level * right, 0, width - 1)
        shifted[number :: len(_DIRECTIONS)] = pictures[number :: len(_DIRECTIONS), rows[:, None], columns]
    return shifted


def _rotated(pictures: Pictures, degrees: float, first: int) -> Pictures:
    rotated = np.empty_like(pictures)
    for number in (0, 1):
        angle = degrees if (first + number) % 2 == 0 else -degrees
        some = pictures[number::2].astype(np.float32)
        if len(some):
            turned = ndimage.rotate(some, angle, axes=(2, 1), reshape=False, order=1, mode="nearest")
            rotated[number::2] = _pixels(turned)
    return rotated


def _occluded(pictures: Pictures, side: int, rng: np.random.Generator) -> Pictures:
    occluded = pictures.copy()
    spans = np.array(pictures.shape[1:3]) - side + 1
    corners = (rng.random((len(pictures), 2)) * spans).astype(int)
    colours = _pixels(pictures.mean(axis=(1, 2)))
    for picture, (top, left), colour in zip(occluded, corners, colours, strict=True):
        picture[top : top + side, left : left + side] = colour
    return occluded
