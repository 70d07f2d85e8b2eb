"""Figures of the companion's chapters on arrays: filters, padding, stride, channels, pooling, weights."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from sklearn.datasets import load_sample_images

from cnn_jax import geometry, ops
from cnn_jax.config import parse
from cnn_jax.inspect.filters import KERNELS
from cnn_jax.plot_style import BLUE, GREEN, GREY, ORANGE
from scripts.docs.figure_parts import axes_of, convolve, numbers, picture

_LINES = np.zeros((21, 21))
_LINES[:, 5] = _LINES[14, :] = 1


def _photograph(side: int) -> np.ndarray:
    """The middle of scikit-learn's photograph of a temple, [side, side, 3] in 0 to 1."""
    pixels = np.asarray(load_sample_images().images[0], np.float32)[:420, 110:530] / 255
    step = 420 // side
    return pixels[: side * step, : side * step].reshape(side, step, side, step, 3).mean(axis=(1, 3))


def orientation() -> Figure:
    """Answers of two template cells to bars of all orientations."""

    def bar(degrees: float, size: int = 15) -> np.ndarray:
        rows, columns = np.mgrid[:size, :size] - (size - 1) / 2
        angle = np.radians(degrees)
        return (np.abs(columns * np.cos(angle) + rows * np.sin(angle)) <= 1.01).astype(float)

    angles = np.arange(-90, 91, 5)
    figure, axes = axes_of(9, 3, 5, width_ratios=[1, 1, 0.25, 1, 4])
    for axis, degrees, title in ((axes[0], 0, "prefers 0°"), (axes[1], 45, "prefers 45°")):
        picture(axis, bar(degrees) - bar(degrees).mean(), title, signed=True)
    axes[2].axis("off")
    picture(axes[3], bar(20), "a bar, 20°")
    for degrees, colour in ((0, BLUE), (45, ORANGE)):
        weights = bar(degrees) - bar(degrees).mean()
        answers = [max(0.0, (weights * bar(angle)).sum()) for angle in angles]
        axes[4].plot(angles, answers, "o-", color=colour, markersize=3, label=f"cell of {degrees}°")
    axes[4].set(xlabel="orientation of the bar in degrees", ylabel="answer", xticks=range(-90, 91, 45))
    axes[4].legend(frameon=False)
    return figure


def receptive_fields() -> Figure:
    """Receptive fields of the middle unit of each layer, on a picture."""
    rows = [row for row in geometry.summarize(parse({}).model, (28, 28, 1), 10).layers if row.window]
    image = _photograph(28).mean(axis=-1)
    figure, axes = axes_of(10, 2.5, len(rows))
    for axis, row in zip(axes, rows, strict=True):
        (size, _), outputs = row.receptive_field, row.output_shape[0]
        before = rows[: rows.index(row) + 1]
        start = (outputs // 2) * int(np.prod([each.strides[0] for each in before]))  # without padding
        picture(axis, image, row.name, caption=f"{size}x{size} of 28x28")
        axis.add_patch(Rectangle((start - 0.5, start - 0.5), size, size, fill=False, edgecolor="#FFB000", lw=2.5))
    return figure


def line_filters() -> Figure:
    """A picture with two lines, and the maps of the two line filters."""
    figure, axes = axes_of(9, 2.3, 5, width_ratios=[1, 0.5, 1, 0.5, 1])
    picture(axes[0], _LINES, "image")
    for place, name in ((1, "vertical_line"), (3, "horizontal_line")):
        picture(axes[place], KERNELS[name], "7x7 filter")
        picture(axes[place + 1], convolve(_LINES, KERNELS[name]), "its feature map")
    return figure


def image_kernels() -> Figure:
    """Named kernels on a photograph."""
    image = _photograph(105).mean(axis=-1)
    names = ["blur", "gaussian", "sharpen", "emboss", "outline", "laplacian", "sobel_left", "sobel_top"]
    figure, axes = axes_of(10, 4.6, 5, 2)
    picture(axes[0], image, "image")
    for axis, name in zip([*axes[1:5], *axes[5:9]], names, strict=True):
        values = convolve(image, KERNELS[name], padding="REPLICATE")
        signed = bool(np.isclose(KERNELS[name].sum(), 0))
        picture(axis, values, name, signed, bound=None if signed else 1.0)
    axes[9].axis("off")
    axes[9].text(0, 0.5, "red: positive\nblue: negative\nwhite: no change", va="center", fontsize=10)
    return figure


def padding_13() -> Figure:
    """Windows of 6 with stride 5 over 13 columns, without and with padding."""
    figure, axes = axes_of(9, 3.3, 1, 2)
    for axis, padding in zip(axes, ("VALID", "SAME"), strict=True):
        (low, high) = ops.resolve_padding(padding, (1, 13), (1, 6), (1, 5))[1]
        outputs = ops.output_size(13, 6, 5, padding)
        for column in range(-low, 13 + high):
            read = any(start <= column < start + 6 for start in (5 * output - low for output in range(outputs)))
            inside = 0 <= column < 13
            face = "white" if inside and read else "#D6E6F5" if not inside else "#FFD7D5"
            axis.add_patch(Rectangle((column, 0), 1, 1, facecolor=face, edgecolor="#888888"))
            axis.text(column + 0.5, 0.5, str(column + 1) if inside else "0", ha="center", va="center")
        for output in range(outputs):
            start, y = 5 * output - low, 1.35 + 0.45 * (output % 2)
            colour = (BLUE, ORANGE, GREEN)[output]
            axis.plot([start + 0.08, start + 5.92], [y, y], color=colour, lw=4, solid_capstyle="butt")
            axis.text(start + 3, y + 0.12, f"window {output + 1}", ha="center", va="bottom", fontsize=9, color=colour)
        note = (
            "columns 12 and 13 are read by no window"
            if padding == "VALID"
            else "one zero on the left, two on the right"
        )
        axis.set_title(f"{padding}: {outputs} outputs; {note}", fontsize=11, loc="left")
        axis.set(xlim=(-1.3, 15.3), ylim=(-0.1, 2.5), aspect="equal")
        axis.axis("off")
    return figure


def stride() -> Figure:
    """The map of stride 1 with the places of stride 2 marked, and the map of stride 2."""
    image = np.array(
        [
            [1, 2, 3, 1, 3, 5],
            [2, 2, 5, 4, 2, 5],
            [0, 6, 9, 6, 2, 2],
            [2, 0, 1, 9, 4, 0],
            [5, 5, 4, 6, 7, 6],
            [6, 1, 3, 7, 1, 5],
        ]
    )
    kernel = np.array([[1, 0, -1]] * 3)
    every, second = (convolve(image, kernel, padding="VALID", strides=s) for s in (1, 2))
    faces = np.full(every.shape, "white", object)
    faces[::2, ::2] = "#FFE08A"
    under = np.full(image.shape, "white", object)
    under[:3, :3] = "#D6E6F5"
    figure, axes = axes_of(9.5, 3.8, 4, width_ratios=[6, 3, 4, 2])
    numbers(axes[0], image, "image, 6x6", under)
    numbers(axes[1], kernel, "kernel", np.full((3, 3), "#D6E6F5", object))
    numbers(axes[2], every, "stride 1: 4x4", faces)
    numbers(axes[3], second, "stride 2: 2x2", np.full((2, 2), "#FFE08A", object))
    return figure


def channels() -> Figure:
    """A photograph of a flower, its channels, and red minus green."""
    image = np.asarray(load_sample_images().images[1], np.float32)[20:420, 120:520] / 255
    image = image.reshape(100, 4, 100, 4, 3).mean(axis=(1, 3))
    kernel = jnp.asarray([1.0, -1.0, 0.0]).reshape(1, 1, 3, 1)
    figure, axes = axes_of(10, 2.5, 5)
    picture(axes[0], image, "three channels")
    for axis, channel, name in zip(axes[1:4], range(3), ("red", "green", "blue"), strict=True):
        picture(axis, image[:, :, channel], name)
    picture(axes[4], np.asarray(ops.conv2d(image[None], kernel))[0, :, :, 0], "red minus green", signed=True)
    return figure


def pooling() -> Figure:
    """Three poolings of one feature map."""
    image = _photograph(60).mean(axis=-1)
    map_ = convolve(image, KERNELS["sobel_left"], padding="VALID")[:56, :56]
    figure, axes = axes_of(9, 2.6, 4)
    bound = float(np.abs(map_).max())
    picture(axes[0], map_, "feature map", signed=True, caption="56x56", bound=bound)
    for axis, pool, name in zip(
        axes[1:], (ops.max_pool, ops.avg_pool, ops.min_pool), ("largest", "mean", "smallest"), strict=True
    ):
        pooled = np.asarray(pool(jnp.asarray(map_)[None, :, :, None], 4))[0, :, :, 0]
        picture(axis, pooled, f"{name} of 4x4", signed=True, caption="14x14", bound=bound)
    return figure


def parameter_counts() -> Figure:
    """Parameters of three layers from 28x28 pixels to 26x26 outputs."""
    names = ["convolution", "locally connected", "dense"]
    counts = [3 * 3 + 1, (3 * 3 + 1) * 26 * 26, (28 * 28 + 1) * 26 * 26]
    figure, (axis,) = axes_of(7, 2.2)
    axis.barh(names, counts, color=[BLUE, GREY, ORANGE])
    for place, count in enumerate(counts):
        axis.text(count * 1.15, place, f"{count:,}", va="center")
    axis.set(xscale="log", xlim=(1, 6e6), xlabel="parameters from 28x28 pixels to 26x26 outputs")
    axis.invert_yaxis()
    axis.grid(False, axis="y")
    return figure


def convolution_matrix() -> Figure:
    """The dense matrix of a 3x3 convolution on 6x6 pixels."""
    kernel = jnp.asarray(np.arange(1, 10).reshape(3, 3, 1, 1), jnp.float32)
    matrix = np.asarray(ops.conv2d(jnp.eye(36).reshape(36, 6, 6, 1), kernel, padding="VALID")).reshape(36, 16)
    shown = np.where(matrix == 0, np.nan, matrix)
    figure, (axis,) = axes_of(7, 3.6)
    drawn = axis.imshow(shown.T, cmap="viridis", interpolation="nearest")
    axis.set(xlabel="36 pixels, row by row", ylabel="16 outputs", xticks=range(0, 36, 6), yticks=range(0, 16, 4))
    axis.grid(False)
    figure.colorbar(drawn, ax=axis, label="weight 1 to 9 of the kernel", shrink=0.8)
    return figure


def equivariance() -> Figure:
    """A picture and its map, and both moved."""
    image = np.zeros((24, 24))
    image[4:12, 5:9] = image[9:12, 5:14] = 1
    moved = np.roll(image, (8, 7), axis=(0, 1))
    figure, axes = axes_of(8, 2.4, 4)
    for place, (values, title) in enumerate(((image, "picture"), (moved, "moved by 8 and 7"))):
        picture(axes[2 * place], values, title)
        picture(axes[2 * place + 1], convolve(values, KERNELS["outline"], padding="CIRCULAR"), "its map", signed=True)
    return figure


_DRAWN = (
    orientation,
    receptive_fields,
    line_filters,
    image_kernels,
    padding_13,
    stride,
    channels,
    pooling,
    parameter_counts,
    convolution_matrix,
    equivariance,
)
FIGURES = {each.__name__: each for each in _DRAWN}
