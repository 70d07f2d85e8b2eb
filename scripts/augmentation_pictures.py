"""Draws the pictures of docs/augmentation.md: `make pictures`, or `python -m scripts.augmentation_pictures`.

The grey ones are of Fashion-MNIST's first test images, the coloured ones of the photographs that scikit-learn
ships. Every row is one `Augment` section, applied as training applies it; the keys are fixed.
"""

from __future__ import annotations

import dataclasses
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import matplotlib
import numpy as np
from matplotlib.figure import Figure
from PIL import Image
from sklearn.datasets import load_sample_images

from cnn_jax import data
from cnn_jax.config import Augment, FashionMnist
from cnn_jax.data.device import pipeline
from cnn_jax.data.device.augment import augment
from cnn_jax.data.split import Split
from cnn_jax.plot_style import STYLE, new_figure

FOLDER = Path(__file__).parents[1] / "docs" / "images"


@dataclasses.dataclass(frozen=True)
class Sheet:
    """One picture: rows of changes, each over the same images.

    Attributes:
      name: Name of the file.
      title: Title of the picture.
      rows: the fields of each row's `Augment`, and the seed of its key.
    """

    name: str
    title: str
    rows: Sequence[tuple[Mapping[str, Any], int]]


GREY = (
    Sheet(
        "moves",
        "Moves",
        [
            ({"flip": True}, 0),
            ({"shift": 4}, 0),
            ({"crop_padding": 4}, 1),
            ({"crop_padding": 4, "crop_border": "reflect"}, 1),
        ],
    ),
    Sheet(
        "erased",
        "What is erased",
        [
            ({"erasing": 1.0}, 0),
            ({"erasing": 1.0, "erasing_fill": "mean"}, 0),
            ({"erasing": 1.0, "erasing_fill": "zero"}, 0),
            ({"cutout": 12}, 0),
        ],
    ),
    Sheet("mixed", "Two images in one", [({"mixup": 1.0}, 0), ({"cutmix": 1.0}, 0)]),
)
COLOUR = (
    Sheet(
        "colours",
        "Colours",
        [({"brightness": 0.4}, 0), ({"contrast": 0.6}, 3), ({"lighting": 0.1}, 0), ({"lighting": 0.5}, 0)],
    ),
    Sheet(
        "colour_photographs",
        "Erased and mixed photographs",
        [({"erasing": 1.0}, 1), ({"cutout": 48}, 1), ({"mixup": 1.0}, 1), ({"cutmix": 1.0}, 1)],
    ),
)


def fashion() -> tuple[Split, tuple[str, ...]]:
    """The first test image of six classes, and their names."""
    dataset = data.load(FashionMnist(), seed=0)
    first = [int(np.flatnonzero(dataset.test.labels == label)[0]) for label in (9, 2, 1, 7, 8, 3)]
    names = tuple(dataset.class_names[label] for label in dataset.test.labels[first])
    return Split(dataset.test.images[first], np.arange(6, dtype=np.int32)), names


def photographs() -> tuple[Split, tuple[str, ...]]:
    """Both photographs at 96x96 pixels, three times over in turn."""
    pictures = [
        np.asarray(Image.fromarray(picture[:, 106:533]).resize((96, 96), Image.Resampling.LANCZOS))
        for picture in load_sample_images().images
    ]
    labels = np.tile(np.arange(2, dtype=np.int32), 3)
    return Split(np.stack(pictures)[labels], labels), ("china", "flower")


def draw(sheet: Sheet, images: Split, class_names: Sequence[str]) -> Figure:
    """The images as they are, then a row for each change."""
    columns, constants = len(images), pipeline.normalization(FashionMnist(), images)
    colours = pipeline.colours(images)
    targets = jax.nn.one_hot(images.labels, len(class_names))
    figure = new_figure(8.4, 1.28 * (len(sheet.rows) + 1) + 0.5)
    with matplotlib.rc_context(STYLE):
        figure.suptitle(sheet.title, fontsize=14)
        grid = figure.subplots(len(sheet.rows) + 1, columns + 1, width_ratios=[1.7, *[1] * columns])
    for place, (fields, seed) in enumerate([({}, 0), *sheet.rows]):
        config = Augment(**fields)
        shown, mixed = augment(jax.random.key(seed), jnp.asarray(images.images), targets, config, constants, colours)
        caption = "\n".join(f"{name}={value}" for name, value in fields.items()) or "as they are"
        left, *axes = grid[place]
        left.axis("off")
        left.text(0, 0.5, caption, transform=left.transAxes, va="center", fontsize=11)
        for axis, image, target in zip(axes, np.asarray(shown), np.asarray(mixed), strict=True):
            axis.axis("off")
            axis.imshow(image.squeeze(-1) if image.shape[-1] == 1 else image, cmap="gray", vmin=0, vmax=1)
            if config.mixup or config.cutmix:
                axis.set_title(_shares(target, class_names), fontsize=9)
    return figure


def _shares(target: np.ndarray, class_names: Sequence[str]) -> str:
    """The classes of a mixed target with their shares, the larger first."""
    order = [label for label in np.argsort(-target)[:2] if target[label] >= 0.005]
    return "\n".join(f"{textwrap.shorten(class_names[label], 11)} {target[label]:.0%}" for label in order)


def main() -> None:
    """Writes every picture."""
    FOLDER.mkdir(exist_ok=True)
    for sheets, (images, names) in ((GREY, fashion()), (COLOUR, photographs())):
        for sheet in sheets:
            path = FOLDER / f"augmentation_{sheet.name}.png"
            draw(sheet, images, names).savefig(path, dpi=105)
            with Image.open(path) as picture:
                picture.convert("RGB").quantize(224).save(path, optimize=True)
            print(f"{path.relative_to(FOLDER.parents[1])}: {path.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
