"""A run goes on, and is evaluated, only on the images, classes, splits and constants that it recorded."""

import hashlib
import io
import json
import os
import shutil
import tarfile

import jax
import numpy as np
import pytest
from array_record.python.array_record_module import ArrayRecordReader, ArrayRecordWriter
from PIL import Image
from rich.console import Console

from cnn_jax import data
from cnn_jax.config.parsing import ConfigError, parse
from cnn_jax.data import DataError
from cnn_jax.data.sources import records
from cnn_jax.run.folder import RunFolder, RunFolderError
from cnn_jax.run.stop_signal import StopSignal
from cnn_jax.sweep import ensemble
from cnn_jax.train import loop, restore
from cnn_jax.train.loop import Stopped, train_and_evaluate

SOURCES = {
    "csv": {"name": "csv", "height": 4, "width": 4, "train_file": "train.csv", "test_file": "test.csv"},
    "idx": {"name": "idx"}
    | {f"{split}_{kind}": f"{split}-{kind}" for split in ("train", "test") for kind in ("images", "labels")},
    "image_folder": {"name": "image_folder", "height": 4, "width": 4, "channels": 1, "train_dir": "train"},
    "records": {"name": "records", "folder": "records", "image_size": 24, "workers": 0},
    "npz": {"name": "npz", "file": "arrays.npz"},
    "webdataset": {"name": "webdataset", "folder": "tars", "memory": "stream", "workers": 0},
}
PATHS = (
    "train_file",
    "test_file",
    "train_images",
    "train_labels",
    "test_images",
    "test_labels",
    "train_dir",
    "folder",
    "file",
)


class StoppedAtOnce(StopSignal):
    """A signal that is there from the start."""

    def __init__(self):
        super().__init__()
        self.received = "SIGTERM"


def config(source, folder, **sections):
    """A tiny network on the data of a source that lie in a folder; their pixels are standardized."""
    fields = {k: str(folder / v) if k in PATHS else v for k, v in SOURCES[source].items()}
    raw = {
        "data": fields | {"normalize": "standardize", "validation_fraction": 0.25},
        "augment": {"lighting": 0.1},
        "model": {"features": (2,), "pooling": "none", "dense": ()},
        "train": {"epochs": 2, "batch_size": 4, "steps_per_dispatch": 1},
        "log": {"tensorboard": False},
    }
    return parse({name: raw.get(name, {}) | sections.get(name, {}) for name in raw | sections})


def train(experiment, workdir):
    return train_and_evaluate(experiment, workdir, console=Console(file=io.StringIO()))


def content(folder):
    """Everything that lies in a folder, but for its lock."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != ".lock")
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


@pytest.fixture(scope="module")
def stopped(tmp_path_factory, records_folder):
    """The data of each source, and for each a run that was stopped after its first steps."""
    folder, rng = tmp_path_factory.mktemp("identity"), np.random.default_rng(0)
    arrays = {}
    for split, count in (("train", 24), ("test", 8)):
        images, labels = rng.integers(0, 256, (count, 4, 4)).astype(np.uint8), np.arange(count) % 2
        rows = np.column_stack([labels, images.reshape(count, -1)])
        np.savetxt(folder / f"{split}.csv", rows, "%d", delimiter=",")
        for kind, array in (("images", images), ("labels", labels)):
            sizes = b"".join(size.to_bytes(4, "big") for size in array.shape)
            content = bytes([0, 0, 8, array.ndim]) + sizes + array.astype(np.uint8).tobytes()
            (folder / f"{split}-{kind}").write_bytes(content)
        for number, image in enumerate(images):
            place = folder / split / "ab"[number % 2]
            place.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image).save(place / f"{number:02}.png")
        arrays |= {f"x_{split}": images.astype(np.uint16) * 257, f"y_{split}": labels}
        (folder / "tars").mkdir(exist_ok=True)
        with tarfile.open(folder / "tars" / f"{split}.tar", "w") as tar:
            for picture in sorted((folder / split).rglob("*.png")):
                tar.add(picture, picture.name)
                member = tarfile.TarInfo(f"{picture.stem}.cls")
                member.size = 1
                tar.addfile(member, io.BytesIO(b"01"["ab".index(picture.parent.name) :][:1]))
    np.savez(folder / "arrays.npz", **arrays)
    shutil.copytree(records_folder, folder / "records")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "StopSignal", StoppedAtOnce)
        for source in SOURCES:
            with pytest.raises(Stopped):
                train(config(source, folder), folder / "runs" / source)
    return folder


@pytest.fixture
def copied(stopped, tmp_path):
    """A copy of data and runs that a test may change."""
    shutil.copytree(stopped, tmp_path / "copy")
    return tmp_path / "copy"


def swap_two_labels(folder):
    lines = (folder / "train.csv").read_text().splitlines()
    for number in (2, 3):  # of class 0 and of class 1
        label, pixels = lines[number].split(",", 1)
        lines[number] = f"{1 - int(label)},{pixels}"
    (folder / "train.csv").write_text("\n".join(lines) + "\n")


def drop_the_last_test_line(folder):
    lines = (folder / "test.csv").read_text().splitlines()
    (folder / "test.csv").write_text("\n".join(lines[:-1]) + "\n")


def add_a_class(folder):
    (folder / "train" / "c").mkdir()
    shutil.copy(folder / "train" / "a" / "00.png", folder / "train" / "c" / "new.png")
    shutil.copy(folder / "train" / "a" / "02.png", folder / "train" / "c" / "newer.png")


def other_content(folder):
    Image.fromarray(np.full((4, 4), 7, np.uint8)).save(folder / "train" / "b" / "01.png")


def another_byte(path):
    held = bytearray(path.read_bytes())
    held[-1] ^= 1
    path.write_bytes(held)


def replace_a_shard(folder):
    """A file of the same pictures in another order; records.json stays."""
    (shard,) = (folder / "records").glob("*train*array_record*")
    reader = ArrayRecordReader(str(shard))
    held = reader.read_all()
    reader.close()
    writer = ArrayRecordWriter(str(shard), "group_size:1")
    for record in reversed(held):
        writer.write(record)
    writer.close()


def change_an_array(folder):
    with np.load(folder / "arrays.npz") as found:
        arrays = dict(found)
    arrays["x_test"][0, 0, 0] ^= 1  # of 16 bits
    np.savez(folder / "arrays.npz", **arrays)


def change_a_label(folder):
    path = folder / "tars" / "train.tar"
    held = path.read_bytes()
    with tarfile.open(path) as tar:
        place = tar.getmember("04.cls").offset_data
    path.write_bytes(held[:place] + b"1" + held[place + 1 :])


CHANGES = {
    "two labels are swapped": ("csv", swap_two_labels, ["checksum of pixels and labels"]),
    "a test line is gone": ("csv", drop_the_last_test_line, ["test images: 8 -> 7", "checksum"]),
    "a label file changes": ("idx", lambda folder: another_byte(folder / "train-labels"), ["checksum"]),
    "a test image changes": ("idx", lambda folder: another_byte(folder / "test-images"), ["checksum"]),
    "a picture is removed": (
        "image_folder",
        lambda f: (f / "train" / "a" / "04.png").unlink(),
        ["images: ", "checksum"],
    ),
    "a picture is added": (
        "image_folder",
        lambda f: shutil.copy(f / "test" / "a" / "00.png", f / "train" / "a" / "99.png"),
        ["checksum of pixels and labels"],
    ),
    "a picture is another": ("image_folder", other_content, ["checksum", "mean of the normalization"]),
    "a class is added": ("image_folder", add_a_class, ["classes: 2 -> 3, with c"]),
    "a class is renamed": (
        "image_folder",
        lambda f: (f / "train" / "a").rename(f / "train" / "z"),
        ["2 -> 2", "without a"],
    ),
    "an array changes": ("npz", change_an_array, ["checksum of pixels and labels"]),
    "a label in a tar file changes": ("webdataset", change_a_label, ["checksum of pixels and labels"]),
    "a shard is replaced": ("records", replace_a_shard, ["checksum of the record files"]),
}


@pytest.mark.parametrize("name", CHANGES)
def test_changed_data_are_refused_before_anything_is_touched(copied, name):
    source, change, fragments = CHANGES[name]
    change(copied)
    run = copied / "runs" / source
    before = content(run)
    with pytest.raises(DataError, match=r"have changed(?s:.*)bring the old files back") as refused:
        train(config(source, copied), run)
    assert all(fragment in str(refused.value) for fragment in fragments), str(refused.value)
    assert content(run) == before


def test_seeds_in_one_program_are_refused_likewise(copied):
    swap_two_labels(copied)
    run = copied / "runs" / "csv"
    before = content(run)
    members = [ensemble.Member(config("csv", copied), run, Console(file=io.StringIO()))]
    (end,) = ensemble.train_and_evaluate(members)
    assert isinstance(end, DataError)
    assert "checksum" in str(end)
    assert content(run) == before


def test_images_that_are_split_in_another_way_are_refused(copied, monkeypatch):
    """As another NumPy might draw them: the same images, other ones for validation."""
    run, other = copied / "runs" / "csv", np.random.default_rng
    monkeypatch.setattr(data.loading.np.random, "default_rng", lambda seed: other((*seed, 1)))
    before = content(run)
    with pytest.raises(DataError, match="split differently into training, validation and test"):
        train(config("csv", copied), run)
    assert content(run) == before


@pytest.mark.parametrize("source", SOURCES)
def test_data_that_were_moved_are_the_same_data(copied, source):
    """The runs were begun on files in another folder."""
    described = (copied / "runs" / source / "dataset.json").read_bytes()
    result = train(config(source, copied), copied / "runs" / source)
    assert result["final_epoch"] == 2
    assert (copied / "runs" / source / "dataset.json").read_bytes() == described
    run = restore.load(copied / "runs" / source)
    assert run.folder.provenance().changes == ()
    assert run.folder.provenance().data.paths == {k: str(copied / v) for k, v in SOURCES[source].items() if k in PATHS}
    assert run.evaluate(run.dataset().test)["loss"] == pytest.approx(result["test_loss"])


def test_a_finished_run_is_of_its_config(copied):
    result = train(config("idx", copied), copied / "runs" / "idx")
    assert train(config("idx", copied), copied / "runs" / "idx") == result
    (copied / "elsewhere").mkdir()
    with pytest.raises(RunFolderError, match=r"config.data.train_images: .*copy/train-images.* -> .*elsewhere"):
        train(config("idx", copied / "elsewhere"), copied / "runs" / "idx")


@pytest.mark.parametrize(
    ("field", "value", "told"),
    [("mean", [3.0], "mean of the normalization"), ("std", [1e9], "std"), ("class_names", ["1", "0"], "another order")],
)
def test_an_edited_description_is_noticed(copied, field, value, told):
    run = copied / "runs" / "csv"
    described = json.loads((run / "dataset.json").read_text())
    (run / "dataset.json").write_text(json.dumps(described | {field: value}))
    with pytest.raises(DataError, match=told):
        train(config("csv", copied), run)
    (run / "dataset.json").write_text(json.dumps(described))  # written in another way, and the same
    train(config("csv", copied), run)
    restore.load(run)
    (run / "dataset.json").write_text(json.dumps(described | {field: value}))
    with pytest.raises(RunFolderError, match=r"dataset.json was changed after the training"):
        restore.load(run)


def test_an_edited_config_is_noticed_but_for_where_data_lie(copied):
    run = copied / "runs" / "csv"
    train(config("csv", copied), run)
    held = json.loads((run / "config.json").read_text())
    held["data"]["train_file"] = "/elsewhere/train.csv"
    (run / "config.json").write_text(json.dumps(held))
    restore.load(run)
    held["train"]["eval_mirrored"] = True
    (run / "config.json").write_text(json.dumps(held))
    with pytest.raises(RunFolderError, match=r"config.json was changed after the training"):
        restore.load(run)


def test_checkpoints_without_a_description_are_refused(copied):
    (copied / "runs" / "csv" / "dataset.json").unlink()
    with pytest.raises(RunFolderError, match=r"has checkpoints but no dataset.json"):
        train(config("csv", copied), copied / "runs" / "csv")


def test_other_surroundings_are_told_and_recorded(copied):
    run = copied / "runs" / "idx"
    held = json.loads((run / "provenance.json").read_text())
    held["packages"]["jax"], held["devices"]["used_cores"] = "0.9.1", 64
    (run / "provenance.json").write_text(json.dumps(held))
    console = Console(file=io.StringIO(), width=200)
    train_and_evaluate(config("idx", copied), run, console=console)
    expected = (
        f"packages.jax: 0.9.1 -> {jax.__version__}",
        f"cores: 64 -> {len(os.sched_getaffinity(0))}",
    )
    assert RunFolder(run).provenance().changes == expected
    assert all(line in console.file.getvalue() for line in expected)


def test_a_missing_provenance_is_not_taken_for_an_equal_one(copied):
    (copied / "runs" / "idx" / "provenance.json").unlink()
    train(config("idx", copied), copied / "runs" / "idx")
    assert "not known" in RunFolder(copied / "runs" / "idx").provenance().changes[0]


def test_a_run_without_a_checkpoint_begins_anew(copied):
    run = copied / "runs" / "idx"
    shutil.rmtree(run / "checkpoints")
    held = json.loads((run / "provenance.json").read_text())
    held["packages"]["jax"] = "0.9.1"
    (run / "provenance.json").write_text(json.dumps(held))
    train(config("idx", copied), run)
    assert RunFolder(run).provenance().changes == ()


def test_settings_of_a_process_that_has_started_are_refused(copied):
    run = copied / "runs" / "idx"
    before = content(run)
    with jax.enable_x64(True), pytest.raises(ConfigError, match="jax_enable_x64=True: expected False"):
        train(config("idx", copied), run)
    with jax.default_prng_impl("rbg"), pytest.raises(ConfigError, match="jax_default_prng_impl=rbg"):
        restore.load(run)
    assert content(run) == before


def test_split_checksum_is_of_numbers(stopped):
    """The test images of a part, by hand."""
    part = config("idx", stopped, data={"test_examples": 5, "validation_fraction": 0.0}).data
    digest = hashlib.sha256()
    test = np.sort(np.random.default_rng((0, 4)).permutation(8)[:5])
    chosen = {"train": np.arange(24), "validation": np.arange(0), "test": test}
    for name, numbers in chosen.items():
        digest.update(f"{name} {len(numbers)}".encode() + numbers.astype("<i8").tobytes())
    assert data.load(part, 0).split_checksum == digest.hexdigest()
    moved = config("idx", stopped, data={"test_shift": 1}).data
    assert data.load(moved, 0).split_checksum != data.load(moved, 1).split_checksum


def test_record_files_are_told_apart_by_name_size_and_ends(tmp_path, records_folder):
    shutil.copytree(records_folder, tmp_path / "records")
    splits = ("train", "validation")
    before = records.files_checksum(tmp_path / "records", splits)
    assert before == records.files_checksum(records_folder, splits)
    (shard,) = (tmp_path / "records").glob("*train*array_record*")
    another_byte(shard)
    assert records.files_checksum(tmp_path / "records", splits) != before
    shard.unlink()
    with pytest.raises(DataError, match=f"config.data.folder: .*{shard.name} cannot be read"):
        records.files_checksum(tmp_path / "records", splits)
