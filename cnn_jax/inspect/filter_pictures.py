"""Pictures written by the command `filter`: filtered pictures, signed feature maps, and a sheet of all."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from jaxtyping import Float, Shaped, UInt8
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image, PngImagePlugin

from cnn_jax import bands, whole_file
from cnn_jax.config.parsing import ConfigError
from cnn_jax.data.errors import DataError
from cnn_jax.data.host import picture
from cnn_jax.data.sources import npz_file
from cnn_jax.inspect.filter_request import FilterRequest
from cnn_jax.inspect.filters import ImageFilter, as_picture, feature_map, read_filters, respond
from cnn_jax.ops.padding import GeometryError

_AUTHOR = "cnn_jax filter"  # marks files that this command may replace
_STYLE: Any = {"font.size": 11, "axes.titlesize": 12, "figure.dpi": 120}
_SIDE = 3.0  # inches of a picture's longer side on the sheet
_KERNEL_SIDE = 2.2  # inches
_NUMBERED = 7  # maximum rows or columns of a kernel drawn with its weights
_MAPS = 16  # maximum number of channels drawn
_DRAWN = 1200  # maximum pixels along the longer side of a drawn map


def write(request: FilterRequest) -> list[Path]:
    """Filters a picture and writes the results.

    Writes NAME.png for each filter, the filtered picture with pixels clipped at 0 and 255; NAME-map.png, the signed
    feature map with a scale; and sheet.png, all of them beside their kernels.

    Args:
      request: The picture, the filters and their settings.

    Returns:
      The files written.

    Raises:
      ConfigError: If the picture, a filter or the folder cannot be used; nothing is written then.
    """
    filters = read_filters(request.filters)
    image = _read_image(request.image, request.grey)
    responses = []
    for each in filters:
        try:
            responses.append(respond(image, each.weights, request.sliding))
        except (GeometryError, ValueError) as error:
            raise ConfigError(
                [f"--filter: {each.name} on {image.shape[1]}x{image.shape[0]} pixels: {error}"]
            ) from error
        if not np.isfinite(responses[-1]).all():
            raise ConfigError(
                [f"--filter: {each.name}: its numbers are so large that pixels become infinite in float32"]
            )
    names = [f"{each.name}{end}.png" for each in filters for end in ("", "-map")]
    files = [request.target / name for name in (*names, "sheet.png")]
    _check_target(request, files)
    drawn = []
    for each, response in zip(filters, responses, strict=True):
        figure = _map(each, feature_map(response)) if image.shape[2] in (1, 3) else _maps(each, response)
        drawn += [_png_of(as_picture(response)), _png(figure)]
    drawn.append(_png(_sheet(image, filters, responses)))
    try:
        request.target.mkdir(parents=True, exist_ok=True)
        for file, content in zip(files, drawn, strict=True):
            whole_file.write(file, content)
    except OSError as error:
        raise ConfigError([f"--target: cannot write to {request.target}: {error.strerror}"]) from error
    return files


def _read_image(file: Path, grey: bool) -> Shaped[np.ndarray, "h w c"]:
    """Reads a picture upright, in grey if stored so, or an image with any number of channels from a .npy file."""
    if file.suffix.lower() == ".npy":
        try:
            array = npz_file.read_array(file)
        except DataError as error:
            raise ConfigError(
                [f"--image: {error}".replace(": set config.data.value_range, such as (0, 1)", "")]
            ) from error
        return array.mean(axis=-1, keepdims=True) if grey else array
    try:
        with picture.open_picture(file) as opened:
            stored_grey = opened.mode in ("1", "L", "LA", "La") or opened.mode.startswith("I")
            return picture.upright(opened, "L" if grey or stored_grey else "RGB")[0]
    except picture.UnreadablePictureError as error:
        raise ConfigError([f"--image: {file} cannot be read as a picture: {error}"]) from error


def _check_target(request: FilterRequest, files: Sequence[Path]) -> None:
    """Refuses to replace files that this command did not write."""
    if request.target.exists() and not request.target.is_dir():
        raise ConfigError([f"--target: {request.target} is a file, expected a folder"])
    for file in files:
        if not file.exists():
            continue
        try:
            with Image.open(file, formats=["PNG"]) as old:
                ours = old.info.get("Software") == _AUTHOR
        except picture.FAULTS:
            ours = False
        if not ours:
            raise ConfigError(
                [f"--target: {file} would be overwritten, but was not written by this command; name another folder"]
            )


def _png_of(pixels: UInt8[np.ndarray, "h w c"]) -> bytes:
    note = PngImagePlugin.PngInfo()
    note.add_text("Software", _AUTHOR)
    content = io.BytesIO()
    Image.fromarray(bands.shown(pixels)).save(content, "PNG", pnginfo=note)
    return content.getvalue()


def _png(figure: Figure) -> bytes:
    content = io.BytesIO()
    figure.savefig(content, format="png", metadata={"Software": _AUTHOR})
    return content.getvalue()


def _map(each: ImageFilter, values: Float[np.ndarray, "h w"]) -> Figure:
    """Draws one feature map with its scale."""
    height, width = values.shape
    longer = 6.4
    size = (longer * min(1, width / height) + 1.6, longer * min(1, height / width) + 0.9)
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(max(size[0], 4.2), max(size[1], 2.4)), layout="constrained", facecolor="white")
        axes = figure.subplots()
        _draw_map(figure, axes, values, f"{each.name}: feature map, {width}x{height}")
    return figure


def _maps(each: ImageFilter, response: Float[np.ndarray, "h w c"]) -> Figure:
    """Draws the feature map of every channel, on one scale."""
    height, width, channels = response.shape
    shown = min(channels, _MAPS)
    columns = min(shown, 4)
    rows = -(-shown // columns)
    wide, high = _SIDE * min(1, width / height), _SIDE * min(1, height / width)
    limit = float(np.abs(response).max()) or 1.0
    with matplotlib.rc_context(_STYLE):
        figure = Figure(
            figsize=(columns * max(wide, 1.2) + 1.2, rows * (high + 0.4) + 0.6), layout="constrained", facecolor="white"
        )
        more = f", first {shown} of {channels} channels" if shown < channels else ""
        figure.suptitle(f"{each.name}: feature maps of the channels, {width}x{height}{more}")
        grid = figure.subplots(rows, columns, squeeze=False)
        for channel, axes in enumerate(grid.ravel()):
            axes.axis("off")
            if channel < shown:
                axes.set_title(f"channel {channel + 1}")
                values = _block_means(response[..., channel])
                drawn = axes.imshow(values, cmap="RdBu_r", vmin=-limit, vmax=limit)
        figure.colorbar(drawn, ax=grid, shrink=0.85)
    return figure


def _draw_map(figure: Figure, axes: Axes, values: Float[np.ndarray, "h w"], title: str) -> None:
    """Draws values in diverging colours around 0: blue is negative, red positive."""
    limit = float(np.abs(values).max())
    shown = axes.imshow(_block_means(values), cmap="RdBu_r", vmin=-(limit or 1), vmax=limit or 1)
    axes.set_title(title if limit else f"{title}\nall zero")
    axes.axis("off")
    figure.colorbar(shown, ax=axes, shrink=0.85)


def _block_means(values: np.ndarray) -> np.ndarray:
    """Averages blocks of pixels if there are more than are drawn, so that no sign is lost to aliasing."""
    block = -(-max(values.shape[:2]) // _DRAWN)
    if block == 1:
        return values
    edges = [np.arange(0, size, block) for size in values.shape[:2]]
    sums = np.add.reduceat(np.add.reduceat(values.astype(np.float64), edges[0], axis=0), edges[1], axis=1)
    counts = [np.diff(np.append(each, size)) for each, size in zip(edges, values.shape[:2], strict=True)]
    blocks = np.multiply.outer(counts[0], counts[1])
    return sums / (blocks if values.ndim == 2 else blocks[..., None])


def _sheet(
    image: Shaped[np.ndarray, "h w c"], filters: Sequence[ImageFilter], responses: Sequence[Float[np.ndarray, "h w c"]]
) -> Figure:
    """Draws a row for each filter (kernel, filtered picture and feature map) below the picture."""
    height, width = image.shape[:2]
    wide, high = _SIDE * min(1, width / height), max(_SIDE * min(1, height / width), _KERNEL_SIDE - 0.3)
    columns = (_KERNEL_SIDE, max(wide, 1.6), max(wide, 1.6) + 0.9)
    rows = 1 + len(filters)
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(sum(columns) + 0.4, (high + 0.4) * rows), layout="constrained", facecolor="white")
        grid = figure.subplots(rows, 3, squeeze=False, width_ratios=columns)
        mean = f", {bands.described(image.shape[2])}" if bands.described(image.shape[2]) else ""
        _draw_picture(grid[0, 1], image, f"picture, {width}x{height}{mean}")
        for empty in (grid[0, 0], grid[0, 2]):
            empty.axis("off")
        for (left, middle, right), each, response in zip(grid[1:], filters, responses, strict=True):
            _draw_kernel(left, each)
            _draw_picture(middle, as_picture(response), f"filtered, {response.shape[1]}x{response.shape[0]}")
            _draw_map(figure, right, feature_map(response), "feature map")
    return figure


def _draw_picture(axes: Axes, pixels: Shaped[np.ndarray, "h w c"], title: str) -> None:
    axes.imshow(bands.shown(_block_means(pixels)), cmap="gray", vmin=0, vmax=255)
    axes.set_title(title)
    axes.axis("off")


def _draw_kernel(axes: Axes, each: ImageFilter) -> None:
    """Draws a kernel in diverging colours; small ones show their weights."""
    limit = float(np.abs(each.weights).max()) or 1.0
    axes.imshow(each.weights, cmap="RdBu_r", vmin=-limit, vmax=limit)
    axes.set_title(each.name)
    axes.set_xticks([])
    axes.set_yticks([])
    if max(each.weights.shape) > _NUMBERED:
        return
    for (row, column), weight in np.ndenumerate(each.weights):
        colour = "white" if abs(weight) > 0.6 * limit else "black"
        text = f"{weight:.3g}".replace("0.", ".")
        axes.text(column, row, text, ha="center", va="center", color=colour, fontsize=8)
