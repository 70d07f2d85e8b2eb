"""A data set whose classes and files have names of every kind, through all verbs."""

import csv
import json
import os

import numpy as np
import pytest
from PIL import Image

from cnn_jax.cli import main as launch
from cnn_jax.data.sources.records import read_manifest

# As a disk has them: bytes, which need not be UTF-8.
CLASSES = [b"$\\frac$", b"accuracy", b"caf\xe9", b"file", b"line\nbreak\x1b[2J", b"x[", "中文".encode()]
FILES = [b"IMG [edited].png", b"\xe9\x1b[2J.png", b"y].png", b"a\nb.png", b"$x$.png"]
EXPERIMENT = """
def get_config():
    return {{
        "data": {{"name": "image_folder", "train_dir": {folder!r}, "height": 8, "width": 8, "channels": 1}},
        "model": {{"features": (4,), "pooling": "max", "dense": ()}},
        "train": {{"epochs": 1, "batch_size": 7, "eval_batch_size": 7}},
        "log": {{"tensorboard": False}},
    }}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Pictures, an experiment file with an unusual name, and a finished run with its report."""
    folder = tmp_path_factory.mktemp("names")
    rng = np.random.default_rng(0)
    for name in CLASSES:
        below = os.path.join(os.fsencode(folder), b"pictures", name)
        os.makedirs(below)
        for file in FILES:
            with open(os.path.join(below, file), "wb") as out:
                Image.fromarray(rng.integers(0, 256, (8, 8), np.uint8)).save(out, "png")
    file = folder / "small $x$ caf\udce9.py"
    file.write_text(EXPERIMENT.format(folder=str(folder / "pictures")))
    assert launch.main(["train", f"--config={file}", f"--workdir={folder}/run $x$ <i>"]) == 0
    return folder


def test_training_and_its_report(folder, capsys):
    run = folder / "run $x$ <i>"
    names = json.loads((run / "dataset.json").read_text())["class_names"]
    assert names == ["$\\frac$", "accuracy", "caf\\xe9", "file", "line\nbreak\x1b[2J", "x[", "中文"]
    assert (run / "report" / "confusion_matrix.png").exists()
    assert launch.main(["report", f"--workdir={run}"]) == 0
    assert capsys.readouterr().out == f"report: {run}/report/index.html\n"
    assert launch.main(["eval", f"--workdir={run}"]) == 0
    assert json.loads(capsys.readouterr().out)["images"] == len(CLASSES)


def test_prediction(folder, capsys, monkeypatch):
    monkeypatch.chdir(folder)
    words = ["predict", "--workdir=run $x$ <i>", "--images=pictures"]
    assert launch.main([*words, "--output=p.csv"]) == 0
    shown = capsys.readouterr().out
    assert "\x1b" not in shown
    assert shown.count("IMG [edited].png") == len(CLASSES)
    with (folder / "p.csv").open(encoding="utf-8", newline="") as file:
        header, *rows = csv.reader(file)
    assert header[4:] == ["$\\frac$", "accuracy", "caf\\xe9", "class file", "line\nbreak\x1b[2J", "x[", "中文"]
    assert len(rows) == len(CLASSES) * len(FILES)
    assert "pictures/caf\\xe9/\\xe9\x1b[2J.png" in {row[0] for row in rows}
    assert launch.main([*words, "--format=json"]) == 0
    assert len(json.loads(capsys.readouterr().out)) == len(rows)


def test_preparation(folder, capsys):
    target = folder / "records [1]"
    assert launch.main(["prepare", f"--source={folder}/pictures", f"--target={target}"]) == 0
    assert "28 train and 7 validation pictures of 7 classes" in capsys.readouterr().out
    manifest = read_manifest(target, "--target")
    assert manifest.class_names[2:5] == ("caf\\xe9", "file", "line\nbreak\x1b[2J")


@pytest.mark.parametrize(
    "words",
    [
        "train --config={folder}/none\x1b[2J.py",
        "train --config={folder}/none\udce9.py",
        "predict --workdir={folder}/run --images={folder}/none\x1b[2J",
        "prepare --source={folder}/none\x1b[2J\udce9 --target={folder}/x",
        "prepare --source={folder}/pictures --target={folder}/caf\udce9",
        "eval --workdir={folder}/caf\udce9",
        "eval --workdir={folder}/x\x1b[2J",
        "report --workdir={folder}/x\x1b[2J",
        "\x1b[2J",
        "train --\x1b[2J=3",
    ],
)
def test_refusals_are_plain_text(folder, capsys, words):
    assert launch.main([word.format(folder=folder) for word in words.split(" ")]) == 2
    said = capsys.readouterr().err
    assert said.startswith("refused: ")
    assert "\x1b" not in said
    said.encode()
