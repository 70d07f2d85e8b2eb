"""Prediction sees pictures as evaluation does, for every data source."""

import csv
import io
import json
import os
import sys

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from cnn_jax.config.parsing import ConfigError, parse
from cnn_jax.data import DataError
from cnn_jax.data.sources import prepare_records
from cnn_jax.data.sources.records import Records, read_manifest
from cnn_jax.report import prediction, prediction_output
from cnn_jax.report.run_report import write_run_report
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


def predicted(run, paths):
    """The probabilities of pictures, a row for each."""
    rows = prediction.predict(run, prediction.find_pictures(paths)[0])
    return np.array([list(row.probabilities.values()) for row in rows])


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
    rows = list(prediction.predict(run_of_records, [tmp_path / "wide.png", tmp_path / "square.png"]))
    assert rows[0].probabilities == pytest.approx(rows[1].probabilities, rel=1e-6)
    # 24 of the 27 pixels that the shorter side is resized to: 28 x 24 / 27 = 24.89, edges to a 64th of a pixel
    assert rows[0].changes == "the middle 24.875 pixels of 84x28, resized to 24x24"


def test_a_whole_test_set_of_pictures(jpegs, tmp_path):
    data = {"name": "image_folder", "train_dir": str(jpegs / "train"), "test_dir": str(jpegs / "val")}
    run = trained(data | {"height": 20, "width": 24}, tmp_path / "run")
    test = run.dataset().test
    np.testing.assert_allclose(predicted(run, [jpegs / "val"]), run.probabilities(test.images), rtol=1e-6)
    assert 0 <= run.evaluate(test)["accuracy"] <= 1


def strange_pictures(root):
    """Two classes, ten pictures each in train/ and val/: 16 bits, grey, transparent, turned, palettes."""
    draws = np.random.default_rng(0)
    for split in ("train", "val"):
        for label in (0, 1):
            folder = root / split / f"class{label}"
            folder.mkdir(parents=True)
            for number in range(10):
                values = draws.integers(0, 120, (30, 44), np.uint8) + np.uint8(120 * label)
                values[:8, :8] = 255 - values[:8, :8]  # a corner, which a turn moves
                exif = Image.Exif()
                exif[0x0112] = number % 8 + 1
                grey = Image.fromarray(values)
                kinds = {
                    "a.png": (Image.fromarray(values.astype(np.uint16) * 257), {}),
                    "b.tif": (Image.fromarray(values.astype(np.uint16) * 257), {"exif": exif}),
                    "c.png": (grey, {"exif": exif}),
                    "d.jpg": (grey.convert("RGB"), {"exif": exif, "quality": 95}),
                    "e.png": (Image.merge("LA", (grey, Image.new("L", grey.size, 200))), {}),
                    "f.gif": (grey.quantize(16), {}),
                    "g.webp": (grey.convert("RGB"), {"exif": exif}),
                    "h.bmp": (grey, {}),
                    "i.jpg": (grey.convert("CMYK"), {"exif": exif, "quality": 95}),
                    "j.jpg": (grey, {"exif": exif, "progressive": True}),
                }
                name = list(kinds)[number]
                kinds[name][0].save(folder / name, **kinds[name][1])
    return root


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("source", ["image_folder", "records"])
def test_a_whole_test_set_of_strange_pictures(source, channels, tmp_path):
    """Evaluation and prediction see the same, and as many right, whatever the kind of picture."""
    pictures = strange_pictures(tmp_path / "pictures")
    if source == "records":
        folder = prepare_records.prepare(pictures, tmp_path / "records", 0.2, Console(file=io.StringIO()))
        data = {"name": "records", "folder": str(folder), "image_size": 16, "workers": 0}
    else:
        data = {"name": "image_folder", "train_dir": str(pictures / "train"), "test_dir": str(pictures / "val")}
        data |= {"height": 16, "width": 20}
    run = trained(data | {"channels": channels, "normalize": "standardize"}, tmp_path / "run")
    test = run.dataset().test
    images = test.images if source == "image_folder" else test.some(len(test)).images
    ours = predicted(run, [pictures / "val"])
    assert len(ours) == 20
    assert ours.std(axis=0).min() > 1e-4, "the network tells the pictures apart"
    np.testing.assert_allclose(ours, run.probabilities(images), rtol=1e-6)
    assert run.evaluate(test)["accuracy"] == np.mean(ours.argmax(axis=1) == np.repeat([0, 1], 10))


@pytest.fixture(scope="module")
def small_run(jpegs, tmp_path_factory):
    data = {"name": "image_folder", "train_dir": str(jpegs / "train"), "test_dir": str(jpegs / "val")}
    return trained(data | {"height": 8, "width": 8}, tmp_path_factory.mktemp("small") / "run")


def test_pictures_are_read_a_batch_at_a_time(small_run, tmp_path, monkeypatch):
    """As many as evaluation takes, 4, are in memory, whatever their number, and one shape is compiled."""
    draws = np.random.default_rng(0)
    for number in range(11):
        Image.fromarray(draws.integers(0, 256, (8, 8, 3), np.uint8)).save(tmp_path / f"{number:02}.png")
    (tmp_path / "05.png").write_text("no picture")
    reads, batches = [], []
    read, classify = prediction.read_picture, type(small_run).probabilities

    def counted(file, *others):
        reads.append(file.name)
        return read(file, *others)

    def batched(run, images):
        batches.append((len(reads), images.shape))
        return classify(run, images)

    monkeypatch.setattr(prediction, "read_picture", counted)
    monkeypatch.setattr(type(small_run), "probabilities", batched)
    rows = list(prediction.predict(small_run, sorted(tmp_path.iterdir())))
    assert batches == [(4, (4, 8, 8, 3)), (9, (4, 8, 8, 3)), (11, (4, 8, 8, 3))]
    assert [row.file[-6:-4] for row in rows] == [f"{number:02}" for number in range(11)]
    assert isinstance(rows[5], prediction.Unreadable)
    monkeypatch.undo()
    whole = np.stack([np.asarray(Image.open(row.file)) for row in rows if isinstance(row, prediction.Prediction)])
    expected = small_run.probabilities(whole)
    got = [list(row.probabilities.values()) for row in rows if isinstance(row, prediction.Prediction)]
    np.testing.assert_allclose(got, expected, rtol=1e-6)


def test_what_is_predicted_of_folders(small_run, tmp_path):
    (tmp_path / ".hidden").mkdir()
    for name in ("a.png", ".hidden/b.png", "._c.png", "d.PNG"):
        Image.new("RGB", (8, 8)).save(tmp_path / name, "PNG")
    (tmp_path / "notes.txt").write_text("x")
    (tmp_path / "loop").symlink_to(tmp_path)
    files, [warning] = prediction.find_pictures([tmp_path, tmp_path / ".hidden" / "b.png"])
    assert [file.name for file in files] == ["a.png", "d.PNG", "b.png"]
    assert warning == (
        f"--images: passed over in {tmp_path}: 1 file that is no picture ({tmp_path}/notes.txt), 2 hidden files or "
        f"folders ({tmp_path}/._c.png first), 1 link to a folder that is read already ({tmp_path}/loop)"
    )
    os.mkfifo(tmp_path / "pipe.png")
    with pytest.raises(DataError, match=r"--images: .*pipe.png is not a regular file"):
        prediction.find_pictures([tmp_path / "pipe.png"])
    assert len(prediction.find_pictures([tmp_path])[0]) == 2


def test_an_output_file_appears_whole_or_not_at_all(small_run, tmp_path, capsys):
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    (tmp_path / "b.png").write_text("no picture")
    (tmp_path / "out.csv").write_text("old")

    def written(names, output):
        rows = prediction.predict(small_run, [tmp_path / name for name in names])
        return prediction_output.write(rows, small_run.class_names, "json", output)

    with pytest.raises(DataError, match=r"--images: .*b.png cannot be read as a picture: it is none of PNG"):
        written(["b.png"], tmp_path / "out.csv")
    assert capsys.readouterr().out == ""
    assert (tmp_path / "out.csv").read_text() == "old"
    with pytest.raises(
        DataError, match=r"2 of 2 files cannot be read as pictures:\n  .*b.png .*\n  .*none.png .*No such"
    ):
        written(["b.png", "none.png"], None)
    with pytest.raises(ConfigError, match=r"--output: cannot write .*: No such file or directory"):
        written(["a.png"], tmp_path / "no_folder" / "out.csv")
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(ConfigError, match=r"--output: .*folder.csv is a folder"):
        written(["a.png"], tmp_path / "folder.csv")
    assert capsys.readouterr().out == ""
    [unreadable] = written(["a.png", "b.png"], tmp_path / "out.csv")
    assert unreadable.file.endswith("b.png")
    lines = (tmp_path / "out.csv").read_text().splitlines()
    assert lines[0].split(",")[:4] == ["file", "class", "probability", "changes"]
    assert len(lines) == 2
    assert len(json.loads(capsys.readouterr().out)) == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.png", "b.png", "folder.csv", "out.csv"]


def test_what_is_suspicious_is_printed_and_stands_in_the_report(jpegs, tmp_path):
    data = {"name": "image_folder", "train_dir": str(jpegs / "val"), "test_dir": str(jpegs / "val")}
    printed = io.StringIO()
    experiment = parse(SMALL | {"data": data | {"height": 8, "width": 8}, "train": {"epochs": 1, "batch_size": 2}})
    train_and_evaluate(experiment, tmp_path / "run", console=Console(file=printed))
    warning = "config.data.test_dir is config.data.train_dir: the network is tested on the images that it is trained on"
    assert f"warning: {warning}\n" in printed.getvalue()
    run = restore.load(tmp_path / "run")
    assert run.folder.dataset_info().warnings == (warning,)
    assert f"<li>{warning}</li>" in write_run_report(run).read_text()


@pytest.mark.parametrize("is_terminal", [False, True])
def test_tables_of_names_of_every_kind(tmp_path, capsys, monkeypatch, is_terminal):
    names = ["file", "class file", "[red]x[/red]", "a\x1b[2J", "=1+1", "x" * 300, ":cat:", "y]"]
    shares = dict(zip(names, np.linspace(0.2, 0.05, len(names)).tolist(), strict=True))
    rows = [prediction.Prediction("IMG [edited]\x1b[2J.png", name, 0.2, shares, "") for name in names]
    prediction_output.write(rows, names, "table", tmp_path / "p.csv")
    shown = capsys.readouterr().out
    assert "\x1b" not in shown
    assert shown.count(r"IMG [edited]\x1b[2J.png") == len(names)
    assert all(text in shown for text in ("[red]x[/red]", r"a\x1b[2J", ":cat:", "y]"))
    assert "x" * 41 not in shown
    # Files that programs read have whole names, and each column another.
    with (tmp_path / "p.csv").open(encoding="utf-8", newline="") as file:
        header, *read = csv.reader(file)
    assert header[4:] == ["class class file", *names[1:]]
    assert [row[1] for row in read] == names
    monkeypatch.setattr(sys.stdout, "isatty", lambda: is_terminal)
    prediction_output.write(rows, names, "csv", tmp_path / "p.json")
    assert ("\x1b" in capsys.readouterr().out) is not is_terminal
    assert [row["label"] for row in json.loads((tmp_path / "p.json").read_text())] == names
