"""Figures of the companion's chapters on networks and data."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

from cnn_jax import data, geometry, ops
from cnn_jax.config import parse
from cnn_jax.plot_style import BLUE, GREEN, GREY, ORANGE
from scripts.docs.figure_parts import axes_of, boxes, shares


def _summary(image_shape: tuple[int, int, int], classes: int, **fields: object) -> geometry.Summary:
    return geometry.summarize(parse({"model": fields}).model, image_shape, classes)


def shapes() -> Figure:
    """Sizes of the maps of the lecture's network."""
    rows = _summary((28, 28, 1), 10, name="cnn").layers
    figure, (axis,) = axes_of(10, 3)
    names = [row.name.removeprefix("head/") for row in rows]
    boxes(axis, [(28, 28, 1), *(row.output_shape for row in rows)], ["image", *names])
    return figure


def keras_layers() -> Figure:
    """Parameters and multiply-adds of the lecture's network, layer by layer."""
    rows = [row for row in _summary((28, 28, 1), 10, name="cnn").layers if row.parameters]
    figure, (axis,) = axes_of(7, 3)
    names = [row.name.removeprefix("head/") for row in rows]
    shares(axis, names, [row.parameters for row in rows], [row.multiply_adds for row in rows])
    return figure


def fashion_mnist() -> Figure:
    """Ten training pictures of each class; checks what chapter 10 says of the pixels."""
    dataset = data.load(parse({}).data, seed=0)
    pixels = dataset.train.images
    counts = np.bincount(pixels.reshape(-1), minlength=256)
    if counts[0] < 2 * counts[1:].max() or not counts[255]:
        raise ValueError(f"expected 0 to be the most frequent pixel and 255 to occur, got the counts {counts.tolist()}")
    figure, axes = axes_of(8, 8, 11, 10, width_ratios=[2.2] + [1] * 10)
    for label, name in enumerate(dataset.class_names):
        title, *places = axes[11 * label : 11 * (label + 1)]
        title.axis("off")
        title.text(1, 0.5, name, ha="right", va="center", fontsize=10)
        for axis, number in zip(places, np.flatnonzero(dataset.train.labels == label)[:10], strict=True):
            axis.imshow(pixels[number, :, :, 0], cmap="gray", vmin=0, vmax=255)
            axis.axis("off")
    return figure


def imagenet_networks() -> Figure:
    """Parameters and multiply-adds of four networks."""
    large = ((224, 224, 3), 1000)
    networks = {
        "LeNet-5, 1998": _summary((28, 28, 1), 10, name="lenet5"),
        "AlexNet, 2012": _summary(*large, name="alexnet"),
        "GoogLeNet, 2014": _summary(*large, name="googlenet", aux_heads=False),
        "ResNet-152, 2015": _summary(*large, name="resnet", depth=152),
    }
    figure, (axis,) = axes_of(7, 3.4)
    for (name, summary), colour in zip(networks.items(), (GREY, BLUE, ORANGE, GREEN), strict=True):
        axis.plot(summary.multiply_adds, summary.parameters, "o", markersize=10, color=colour)
        side = {"AlexNet, 2012": (-12, "right")}.get(name, (12, "left"))
        place = summary.multiply_adds, summary.parameters
        axis.annotate(name, place, xytext=(side[0], 0), textcoords="offset points", ha=side[1], va="center")
    axis.set(
        xscale="log",
        yscale="log",
        xlim=(1e5, 2e12),
        ylim=(2e4, 4e8),
        xlabel="multiply-adds of one picture",
        ylabel="parameters",
    )
    return figure


def lenet5() -> Figure:
    """Sizes of the maps of LeNet-5."""
    rows = _summary((28, 28, 1), 10, name="lenet5").layers
    rows = [row for row in rows if row.kind != "flatten"]
    names = [
        "input" if row.name == "pad" else {"head/dense1": "F6", "head/logits": "output"}.get(row.name, row.name)
        for row in rows
    ]
    figure, (axis,) = axes_of(9.5, 3)
    boxes(axis, [row.output_shape for row in rows], names)
    return figure


def alexnet_layers() -> Figure:
    """Parameters and multiply-adds of AlexNet, layer by layer, by the lecture's names."""
    rows = [row for row in _summary((224, 224, 3), 1000, name="alexnet").layers if row.parameters]
    figure, (axis,) = axes_of(8, 3)
    names = ["C1", "C3", "C5", "C6", "C7", "F8", "F9", "output"]
    shares(axis, names, [row.parameters for row in rows], [row.multiply_adds for row in rows])
    return figure


def inception() -> Figure:
    """The branches of module 3a, with the maps that each layer makes."""
    rows = {row.name: row for row in _summary((224, 224, 3), 1000, name="googlenet").layers}

    def maps(name: str) -> int:
        return rows[f"inception3a/{name}"].output_shape[2]

    branches = (
        [("1x1", maps("branch1"))],
        [("1x1", maps("branch2_reduce")), ("3x3", maps("branch2"))],
        [("1x1", maps("branch3_reduce")), ("5x5", maps("branch3"))],
        [("max pool 3x3", maps("branch4_pool")), ("1x1", maps("branch4"))],
    )
    figure, (axis,) = axes_of(8, 3.8)

    def block(x: float, y: float, text: str, colour: str) -> None:
        axis.add_patch(
            FancyBboxPatch(
                (x - 0.95, y - 0.3), 1.9, 0.6, boxstyle="round,pad=0.03", facecolor=colour, edgecolor="#555555"
            )
        )
        axis.text(x, y, text, ha="center", va="center", fontsize=10)

    def arrow(start: tuple[float, float], end: tuple[float, float]) -> None:
        axis.add_patch(FancyArrowPatch(start, end, arrowstyle="-|>", mutation_scale=12, color="#555555", lw=1))

    block(4, 0, f"{rows['pool2'].output_shape[2]} maps, 28x28", "#E8EDF2")
    block(4, 4.2, f"{maps('concat')} maps, 28x28", "#E8EDF2")
    axis.plot([3.02, 0.9, 0.9], [0, 0, 0.4], color="#555555", lw=1)  # the first branch goes round the lower row
    for number, branch in enumerate(branches):
        x, below = 0.9 + number * 2.07, (0.9, 0.3) if number == 0 else (4 + (number - 1.5) * 0.4, 0.33)
        for level, (name, count) in enumerate(branch):
            y = 1.4 + 1.4 * (level if len(branch) == 2 else 1)
            block(x, y, f"{name}: {count}", {"1x1": "#CFE2F0", "3x3": "#FCE0C8", "5x5": "#F8C9A6"}.get(name, "#D9EFE6"))
            arrow(below, (x, y - 0.34))
            below = (x, y + 0.33)
        arrow(below, (4 + (number - 1.5) * 0.4, 3.87))
    axis.set(xlim=(-0.2, 8.2), ylim=(-0.4, 4.6))
    axis.axis("off")
    return figure


def gradient_by_depth() -> Figure:
    """Norm of the gradient at the input of random stacks, over that at their output."""
    depths, seeds, channels = 30, 3, 8

    @jax.jit
    def norms(key: jax.Array, shortcut: jax.Array, scale: jax.Array) -> jax.Array:
        kernels = scale * jax.random.normal(key, (depths, 3, 3, channels, channels)) * (2 / (9 * channels)) ** 0.5
        x = jax.random.normal(jax.random.fold_in(key, 1), (1, 8, 8, channels))

        def layer(x: jax.Array, kernel: jax.Array) -> jax.Array:
            return ops.relu(ops.conv2d(x, kernel)) + shortcut * x

        output, inputs = jax.lax.scan(lambda x, kernel: (layer(x, kernel), x), x, kernels)

        def back(gradient: jax.Array, of: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
            gradient = jax.vjp(lambda x: layer(x, of[1]), of[0])[1](gradient)[0]
            return gradient, jnp.linalg.norm(gradient)

        start = jax.random.normal(jax.random.fold_in(key, 2), output.shape)
        _, found = jax.lax.scan(back, start, (inputs, kernels), reverse=True)
        return found[::-1] / jnp.linalg.norm(start)

    figure, (axis,) = axes_of(7, 3.4)
    cases = (
        (0.0, 0.5, "plain", BLUE),
        (1.0, 0.5, "with shortcuts", ORANGE),
        (1.0, 0.1, "with shortcuts, F five times smaller", GREEN),
    )
    for shortcut, scale, name, colour in cases:
        found = np.array(
            [norms(jax.random.key(seed), jnp.float32(shortcut), jnp.float32(scale)) for seed in range(seeds)]
        )
        axis.plot(range(1, depths + 1), np.exp(np.log(found).mean(axis=0)), color=colour, lw=2, label=name)
        axis.fill_between(range(1, depths + 1), found.min(axis=0), found.max(axis=0), color=colour, alpha=0.2)
    axis.axhline(1, color="#888888", lw=1, ls=":")
    axis.set(yscale="log", xlabel="layers between", ylabel="gradient, before over behind")
    axis.legend(frameon=False)
    return figure


FIGURES = {
    each.__name__: each
    for each in (
        shapes,
        keras_layers,
        fashion_mnist,
        imagenet_networks,
        lenet5,
        alexnet_layers,
        inception,
        gradient_by_depth,
    )
}
