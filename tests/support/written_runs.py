"""Folders of runs as training leaves them, without training anything."""

import json
from pathlib import Path

from sweep.written_sweep import CPU, PACKAGES, result_of

from cnn_jax.config.parsing import override, parse

BASE = {"data": {"name": "fashion_mnist"}, "train": {"epochs": 3}}
DATASET = {
    "name": "fashion_mnist",
    "checksum": "a" * 64,
    "image_shape": [28, 28, 1],
    "class_names": ["shirt", "bag"],
    "images": {"train": 900, "validation": 0, "test": 100},
    "mean": [72.0],
    "std": [90.0],
    "split_checksum": "b" * 64,
}


def write_run(folder: Path, accuracy: float | None, seed: int = 0, dataset: dict | None = None, **config) -> Path:
    """Writes the folder of a run.

    Args:
      folder: The folder.
      accuracy: Test accuracy at the end; None for a run that ended in its second epoch.
      seed: Seed of the run.
      dataset: Fields of dataset.json that are other than usual.
      config: Other fields of the config, two underscores for the dot.
    """
    folder.mkdir(parents=True)
    fields = {name.replace("__", "."): value for name, value in config.items()} | {"seed": seed}
    content = parse(override(BASE, fields)).model_dump(mode="json")
    (folder / "config.json").write_text(json.dumps(content))
    (folder / "dataset.json").write_text(json.dumps(DATASET | (dataset or {})))
    provenance = {"git": None, "packages": PACKAGES, "devices": CPU}
    (folder / "provenance.json").write_text(json.dumps(provenance))
    last = accuracy if accuracy is not None else 0.5
    lines = [
        {"step": step, "epoch": step, "split": "test", "values": {"accuracy": value, "loss": 1 - value}}
        for step, value in enumerate([last - 0.2, last - 0.1, last][: 3 if accuracy is not None else 2], 1)
    ]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    if accuracy is not None:
        result = result_of(accuracy, None)
        result.update(test_top1_error=1 - accuracy, test_loss=1 - accuracy)
        (folder / "result.json").write_text(json.dumps(result))
    return folder


def change(path: Path, **fields) -> None:
    """Changes fields of a JSON file."""
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))
