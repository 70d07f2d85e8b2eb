"""Tiny data sets of every kind, for random experiments."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from cnn_jax.data.sources import prepare_records
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
    records = prepare_records.prepare(folder / "pictures", folder / "records", test_fraction=0.2)
    arrays: dict[str, np.ndarray] = {}
    for split, count in _COUNTS.items():
        arrays[f"x_{split}"] = draw.integers(0, 2**16, (count, 14, 11, 5)).astype(np.uint16)
        arrays[f"y_{split}"] = np.arange(count) % CLASSES
        _write_pictures(folder, split, draw.integers(0, 256, (count, 36, 36), np.uint8))
    np.savez(folder / "arrays.npz", **arrays)
    # Which files, features and classes there are is not drawn.
    fixed = {"train_split": "train", "validation_split": None, "test_split": None, "workers": 0}
    files = fixed | {"class_names": None, "height": None, "width": None, "crop_area": None, "shorter_side": None}
    square = {"height": 40, "width": 40, "shorter_side": None}
    tfds = fixed | square | dict.fromkeys(("dataset", "image", "label"))
    return {
        "idx": small,
        "larger idx": large,
        "npz": {"name": "npz", "file": str(folder / "arrays.npz"), "value_range": None, "class_names": None},
        "tfds": tfds | {"name": "tfds", "folder": str(records)},
        "parquet": files | {"name": "parquet", "folder": str(folder / "rows"), "image": None, "label": None},
        "webdataset": files | {"name": "webdataset", "folder": str(folder / "tars"), "label": "cls"},
        "csv": csv | {"height": 8, "width": 9, "channels": 3},
        "image_folder": {"name": "image_folder", "train_dir": str(folder / "pictures"), "height": 66, "width": 70},
        "records": {"name": "records", "folder": str(records), "image_size": 72, "workers": 0},
    }


def _write_pictures(folder: Path, split: str, images: np.ndarray) -> None:
    """Writes a split as a Parquet file and as a tar file."""
    rows: list[dict[str, bytes]] = []
    labels = [number % CLASSES for number in range(len(images))]
    for name in ("rows", "tars"):
        (folder / name).mkdir(exist_ok=True)
    with tarfile.open(folder / "tars" / f"{split}.tar", "w") as tar:
        for number, (pixels, label) in enumerate(zip(images, labels, strict=True)):
            content = io.BytesIO()
            Image.fromarray(pixels).save(content, "PNG")
            rows.append({"bytes": content.getvalue()})
            for kind, member in (("png", content.getvalue()), ("cls", str(label).encode())):
                info = tarfile.TarInfo(f"{number}.{kind}")
                info.size = len(member)
                tar.addfile(info, io.BytesIO(member))
    pq.write_table(pa.table({"image": rows, "label": labels}), folder / "rows" / f"{split}.parquet")
