"""Tiny data sets of every kind, for random experiments."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from cnn_jax.data.sources import convert
from tests.conftest import write_idx

CLASSES = 3
_COUNTS = {"train": 24, "test": 6}


def write(folder: Path) -> dict[str, dict[str, Any]]:
    """Writes the data sets and gives the section `data` of each by name.

    Args:
      folder: Folder to write to.
    """
    draw = np.random.default_rng(0)
    small, large, csv = ({"name": name} for name in ("idx", "idx", "csv"))
    for section, side in ((small, 12), (large, 32)):
        for split, count in _COUNTS.items():
            for kind, array in (
                ("images", draw.integers(0, 256, (count, side, side))),
                ("labels", np.arange(count) % CLASSES),
            ):
                path = folder / f"{side}-{split}-{kind}"
                write_idx(path, array)
                section[f"{split}_{kind}"] = str(path)
    for split, count in _COUNTS.items():
        rows = np.column_stack([np.arange(count) % CLASSES, draw.integers(0, 256, (count, 8 * 9 * 3))])
        path = folder / f"{split}.csv"
        np.savetxt(path, rows, fmt="%d", delimiter=",")
        csv[f"{split}_file"] = str(path)
    for number in range(sum(_COUNTS.values())):
        path = folder / "pictures" / "abc"[number % CLASSES] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(draw.integers(0, 256, (30, 28, 3)).astype(np.uint8)).save(path)
    records = convert.prepare(folder / "pictures", folder / "records", test_fraction=0.2)
    return {
        "idx": small,
        "larger idx": large,
        "csv": csv | {"height": 8, "width": 9, "channels": 3},
        "image_folder": {"name": "image_folder", "train_dir": str(folder / "pictures"), "height": 66, "width": 70},
        "records": {"name": "records", "folder": str(records), "image_size": 72, "workers": 0},
    }
