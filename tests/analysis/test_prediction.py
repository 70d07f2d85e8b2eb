"""Prediction sees pictures as evaluation does, for every data source."""

import csv
import io
import json

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from cnn_jax.analysis import prediction
from cnn_jax.config_parse import parse
from cnn_jax.data.records import Records, read_manifest
from cnn_jax.train import restore
from cnn_jax.train.loop import train_and_evaluate

SMALL = {
    "model": {"features": (4,), "pooling": "max", "dense": ()},
    "train": {"epochs": 2, "batch_size": 8, "eval_batch_size": 4},
    "log": {"tensorboard": False},
}


def trained(data, folder):
    train_and_evaluate(parse(SMALL | {"data": data}), folder, console=Console(file=io.StringIO()))
    return restore.load(folder)


def predicted(run, files):
    """The probabilities of files, a row for each."""
    return np.array([list(row.probabilities.values()) for row in prediction.predict(run, files)])


@pytest.fixture
def run_of_records(records_folder, tmp_path):
    data = {
        "name": "records",
        "folder": str(records_folder),
        "image_size": 24,
        "workers": 0,
        "normalize": "standardize",
    }
    return trained(data, tmp_path / "run")


def test_a_whole_test_set_of_records(run_of_records, records_folder, tmp_path):
    run, records = run_of_records, Records(records_folder, read_manifest(records_folder, "folder").test_split)
    files, labels = [], []
    for number in range(len(records)):
        record = records[number]
        files.append(tmp_path / f"{number:03}.jpg")
        files[-1].write_bytes(record.picture)
        labels.append(record.label)
    test = run.dataset().test
    ours = predicted(run, files)
    assert ours.std(axis=0).min() > 1e-4, "the network tells the pictures apart"
    np.testing.assert_allclose(ours, run.probabilities(test.some(len(test)).images), rtol=1e-6)
    assert run.evaluate(test)["accuracy"] == np.mean(ours.argmax(axis=1) == labels)


def test_the_middle_of_a_picture_is_what_counts(run_of_records, tmp_path):
    """Records cut the middle of a wide picture; squashing it whole would bring its sides in."""
    middle = np.random.default_rng(0).integers(0, 256, (28, 28, 3), np.uint8)
    wide = np.zeros((28, 84, 3), np.uint8)
    wide[:, 28:56] = middle
    for name, pixels in (("wide", wide), ("square", middle)):
        Image.fromarray(pixels).save(tmp_path / f"{name}.png")
    rows = prediction.predict(run_of_records, [tmp_path / "wide.png", tmp_path / "square.png"])
    assert rows[0].probabilities == pytest.approx(rows[1].probabilities, rel=1e-6)
    # 24 of the 27 pixels that the shorter side is resized to: 28 x 24 / 27 = 24.89, edges to a 64th of a pixel
    assert rows[0].changes == "the middle 24.875 pixels of 84x28, resized to 24x24"


def test_a_whole_test_set_of_pictures(jpegs, tmp_path):
    data = {"name": "image_folder", "train_dir": str(jpegs / "train"), "test_dir": str(jpegs / "val")}
    run = trained(data | {"height": 20, "width": 24}, tmp_path / "run")
    test = run.dataset().test
    np.testing.assert_allclose(predicted(run, [jpegs / "val"]), run.probabilities(test.images), rtol=1e-6)
    assert 0 <= run.evaluate(test)["accuracy"] <= 1


def test_tables_of_names_of_every_kind():
    names = ["file", "class file", "[red]x[/red]", "a\x1b[2J", "=1+1", "x" * 300, ":cat:", "y]"]
    shares = dict(zip(names, np.linspace(0.2, 0.05, len(names)).tolist(), strict=True))
    rows = [prediction.Prediction("IMG [edited]\x1b[2J.png", name, 0.2, shares, "") for name in names]
    out = io.StringIO()
    Console(file=out, width=200, force_terminal=True, color_system=None).print(prediction.as_table(rows))
    shown = out.getvalue()
    assert "\x1b" not in shown
    assert shown.count(r"IMG [edited]\x1b[2J.png") == len(names)
    assert all(text in shown for text in ("[red]x[/red]", r"a\x1b[2J", ":cat:", "y]"))
    assert "x" * 41 not in shown
    header, *read = csv.reader(io.StringIO(prediction.as_csv(rows)))
    # Files that programs read have whole names, and each column another.
    assert header[4:] == ["class class file", *names[1:]]
    assert [row[1] for row in read] == names
    assert [row["label"] for row in json.loads(prediction.as_json(rows))] == names
