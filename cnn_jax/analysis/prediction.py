"""Picture files into class names and probabilities."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from rich.table import Table

from cnn_jax.analysis.class_keys import class_keys
from cnn_jax.data.errors import DataError
from cnn_jax.data.evaluation_picture import read_picture
from cnn_jax.data.picture import UnreadablePictureError
from cnn_jax.plain_text import shortened, valid_unicode
from cnn_jax.terminal import cell
from cnn_jax.train.restore import FinishedRun

_COLUMNS = ("file", "class", "probability", "changes")  # of the CSV, before those of the classes
_LABEL = 40  # characters of a class name in a terminal's table
SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff")


@dataclasses.dataclass(frozen=True)
class Prediction:
    r"""What the network says of one picture.

    Attributes:
      file: its path; bytes that are not UTF-8 stand as \xff.
      label: the most probable class.
      probability: of that class.
      probabilities: of all classes, by name.
      changes: how the picture was made to fit, in words; empty where it fitted.
    """

    file: str
    label: str
    probability: float
    probabilities: dict[str, float]
    changes: str


def predict(run: FinishedRun, paths: Sequence[Path]) -> list[Prediction]:
    """Classifies pictures.

    Args:
      run: as `restore.load` opens it.
      paths: picture files, and folders whose pictures (subfolders included) are taken in order.

    Returns:
      One prediction for each picture.

    Raises:
      DataError: where a path is missing, a folder has no pictures, or a file is no picture.
    """
    files = [file for path in paths for file in _files(path)]
    try:
        fitted = [read_picture(file, run.experiment.data, run.image_shape) for file in files]
    except UnreadablePictureError as error:
        raise DataError(f"--images: {error}") from error
    probabilities = run.probabilities(np.stack([image for image, _ in fitted]))
    rows = []
    for file, (_, changes), each in zip(files, fitted, probabilities, strict=True):
        best = int(each.argmax())
        by_name = {name: float(value) for name, value in zip(run.class_names, each, strict=True)}
        rows.append(Prediction(valid_unicode(str(file)), run.class_names[best], float(each[best]), by_name, changes))
    return rows


def _files(path: Path) -> list[Path]:
    if path.is_dir():
        found = sorted(file for file in path.rglob("*") if file.suffix.lower() in SUFFIXES and file.is_file())
        if not found:
            raise DataError(f"--images: the folder {path} has no pictures ({', '.join(SUFFIXES)})")
        return found
    if not path.exists():
        raise DataError(f"--images: there is no file or folder {path}")
    return [path]


def as_table(rows: Sequence[Prediction]) -> Table:
    """The predictions for a terminal, the three most probable classes each."""
    table = Table()
    for heading in ("file", "class", "probability", "next", "changed to fit"):
        table.add_column(heading, overflow="fold", justify="right" if heading == "probability" else "left")
    for row in rows:
        ranked = sorted(row.probabilities.items(), key=lambda entry: -entry[1])[1:3]
        following = ", ".join(f"{shortened(name, _LABEL)} {value:.1%}" for name, value in ranked)
        file = cell(os.path.relpath(row.file))
        table.add_row(file, cell(row.label, _LABEL), f"{row.probability:.1%}", cell(following), row.changes)
    return table


def as_json(rows: Sequence[Prediction]) -> str:
    """The predictions as a JSON array."""
    return json.dumps([dataclasses.asdict(row) for row in rows], indent=2)


def as_csv(rows: Sequence[Prediction]) -> str:
    """The predictions as CSV: file, class, probability, changes, and a column for each class, whole names in all.

    The column of a class that is called like one of the first four is "class NAME".
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    names = list(rows[0].probabilities) if rows else []
    writer.writerow([*_COLUMNS, *class_keys(names, _COLUMNS)])
    for row in rows:
        writer.writerow([row.file, row.label, row.probability, row.changes, *row.probabilities.values()])
    return text.getvalue()
