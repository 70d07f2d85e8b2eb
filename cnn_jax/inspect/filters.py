"""Image filters: named kernels, kernels given by users, and responses of pictures."""

from __future__ import annotations

import ast
import dataclasses
from collections.abc import Sequence
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, UInt8

from cnn_jax import ops
from cnn_jax.config.parsing import ConfigError
from cnn_jax.inspect.filter_request import Sliding
from cnn_jax.plain_text import shortened
from cnn_jax.words import did_you_mean

MAX_KERNEL = 255  # maximum pixels along each axis


def _line(row: int | slice, column: int | slice) -> np.ndarray:
    line = np.zeros((7, 7))
    line[row, column] = 1
    return line


_SOBEL = np.outer([1, 2, 1], [1, 0, -1])
_BINOMIAL = np.array([1, 4, 6, 4, 1]) / 16

# Sources: the lecture for the lines; Sobel and Feldman (1968) for their operator, which is named after the side of an
# edge that is brighter; picture editors for the others.
KERNELS: dict[str, np.ndarray] = {
    "identity": np.array([[0, 0, 0], [0, 1, 0], [0, 0, 0]]),
    "vertical_line": _line(slice(None), 3),
    "horizontal_line": _line(3, slice(None)),
    "blur": np.full((3, 3), 1 / 9),
    "gaussian": np.outer(_BINOMIAL, _BINOMIAL),
    "sharpen": np.array([[0, -1, 0], [-1, 5, -1], [0, -1, 0]]),
    "outline": np.array([[-1, -1, -1], [-1, 8, -1], [-1, -1, -1]]),
    "emboss": np.array([[-2, -1, 0], [-1, 1, 1], [0, 1, 2]]),
    "sobel_left": _SOBEL,
    "sobel_right": -_SOBEL,
    "sobel_top": _SOBEL.T,
    "sobel_bottom": -_SOBEL.T,
    "laplacian": np.array([[0, 1, 0], [1, -4, 1], [0, 1, 0]]),
}


@dataclasses.dataclass(frozen=True)
class ImageFilter:
    """An image filter.

    Attributes:
      name: Name of the kernel, or "kernel" and a number.
      weights: Kernel, [height, width].
    """

    name: str
    weights: Float[np.ndarray, "kh kw"]


def read_filters(words: Sequence[str]) -> list[ImageFilter]:
    """Parses filters of the command line.

    Args:
      words: Each is a name of KERNELS (case, hyphens and spaces do not matter); `all`; a matrix such as
        `[[1, 0, -1], [1, 0, -1], [1, 0, -1]]` or `1 0 -1; 1 0 -1; 1 0 -1`; or a file with a matrix: .npy, or text with
        one row per line and numbers separated by spaces or commas.

    Returns:
      The filters, each once, in order. Their names are unique and valid file names.

    Raises:
      ConfigError: If one is none of these; the message has the nearest name.
    """
    filters: dict[str, ImageFilter] = {}
    faults = []
    for word in words:
        name = word.strip().lower().replace("-", "_").replace(" ", "_")
        try:
            if name == "all":
                filters |= {each: ImageFilter(each, weights.astype(np.float32)) for each, weights in KERNELS.items()}
            elif name in KERNELS:
                filters[name] = ImageFilter(name, KERNELS[name].astype(np.float32))
            else:
                own = f"kernel{1 + sum(each not in KERNELS for each in filters)}"
                filters[own] = ImageFilter(own, _read_matrix(word))
        except ValueError as error:
            faults.append(f"--filter={shortened(word, 60)}: {error}")
    if faults:
        raise ConfigError(faults)
    return list(filters.values())


def _read_matrix(word: str) -> Float[np.ndarray, "kh kw"]:
    """Reads a matrix from the command line or from a file."""
    stripped = word.strip()
    if stripped.startswith("["):
        try:
            rows = ast.literal_eval(stripped)
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            raise ValueError("is not a matrix; write it as [[1, 0, -1], [1, 0, -1], [1, 0, -1]]") from error
        return _checked(rows)
    if stripped and not set(stripped) - set("0123456789+-.eE ,;\t\n"):
        return _checked(_rows_of_text(stripped.replace(";", "\n")))
    path = Path(stripped).expanduser()
    try:
        found = path.is_file()
    except (OSError, ValueError):
        found = False
    if not found:
        hint = did_you_mean(stripped, [*KERNELS, "all"], least=0.5)
        raise ValueError(f"is neither a file nor a matrix, and none of {', '.join(KERNELS)}, all{hint}")
    try:
        if path.suffix.lower() == ".npy":
            return _checked(np.load(path, allow_pickle=False).tolist())
        return _checked(_rows_of_text(path.read_text(encoding="utf-8-sig")))
    except MemoryError as error:
        raise ValueError(f"has too many numbers, expected at most {MAX_KERNEL} a side") from error
    except (OSError, UnicodeDecodeError, EOFError) as error:
        raise ValueError(f"cannot be read: {error}") from error


def _rows_of_text(text: str) -> list[list[float]]:
    try:
        return [[float(each) for each in line.replace(",", " ").split()] for line in text.splitlines() if line.strip()]
    except ValueError as error:
        raise ValueError(f"is not a matrix of numbers: {error}") from error


def _checked(rows: object) -> Float[np.ndarray, "kh kw"]:
    try:
        matrix = np.array(rows, np.float64)
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise ValueError("its rows must be numbers, the same number in each row") from error
    if matrix.ndim != 2 or matrix.size == 0:
        raise ValueError(f"has the shape {matrix.shape}, expected rows and columns")
    if max(matrix.shape) > MAX_KERNEL:
        raise ValueError(f"has {matrix.shape[0]}x{matrix.shape[1]} numbers, expected at most {MAX_KERNEL} a side")
    if not (np.abs(matrix) <= np.finfo(np.float32).max).all():
        raise ValueError("has numbers that are not finite in float32")
    return matrix.astype(np.float32)


def respond(
    image: Float[Array, "h w c"] | Float[np.ndarray, "h w c"] | UInt8[np.ndarray, "h w c"],
    weights: Float[np.ndarray, "kh kw"],
    sliding: Sliding = Sliding(),  # noqa: B008 - frozen
) -> Float[np.ndarray, "oh ow c"]:
    """Filters each channel of a picture.

    Args:
      image: Picture in any unit; it is not scaled.
      weights: Kernel.
      sliding: Padding, strides and dilation. With `flip`, the kernel is rotated by 180 degrees first, which gives
        convolution as defined in mathematics. Networks compute cross-correlation, without the rotation.

    Returns:
      Responses in units of the picture times the kernel, with the size given by `ops.output_sizes`.

    Raises:
      GeometryError: If the kernel exceeds the padded picture.
      ValueError: If padding, strides or dilation are invalid.
    """
    kernel = np.asarray(weights[::-1, ::-1] if sliding.flip else weights, np.float32)[:, :, None, None]
    channels_as_batch = jnp.moveaxis(jnp.asarray(image, jnp.float32), 2, 0)[..., None]
    with jax.default_matmul_precision("highest"):
        response = ops.conv2d(
            channels_as_batch,
            jnp.asarray(kernel),
            strides=sliding.strides,
            padding=sliding.padding,
            dilation=sliding.dilation,
            lowering="xla",  # patches of a large kernel would take kh * kw times the picture's memory
        )
    return np.moveaxis(np.asarray(response[..., 0]), 0, 2)


def as_picture(response: Float[np.ndarray, "h w c"]) -> UInt8[np.ndarray, "h w c"]:
    """Converts responses to a picture: rounded, and clipped at 0 and 255."""
    picture: np.ndarray = np.clip(np.rint(response), 0, 255).astype(np.uint8)
    return picture


def feature_map(response: Float[np.ndarray, "h w c"]) -> Float[np.ndarray, "h w"]:
    """Averages the responses over the channels to one signed map."""
    maps: np.ndarray = response.mean(axis=2, dtype=np.float64)
    return maps
