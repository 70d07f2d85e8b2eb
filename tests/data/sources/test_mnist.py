"""Named data sets: found, verified, prepared once, by one process, and mended when damaged."""

import dataclasses
import errno
import gzip
import hashlib
import os
import random
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow_datasets as tfds
from moments import Moment

from cnn_jax import config as cfg
from cnn_jax.data import load
from cnn_jax.data.errors import DataError
from cnn_jax.data.sources import published
from cnn_jax.data.sources.mnist import load_named
from cnn_jax.data.sources.mnist_sets import (
    FASHION_MNIST,
    MNIST,
    NAMED_SETS,
    TEST_IMAGES,
    TEST_LABELS,
    TRAIN_IMAGES,
    TRAIN_LABELS,
    SourceFile,
)

rng = np.random.default_rng(0)
ARRAYS = {
    TRAIN_IMAGES: rng.integers(0, 256, (40, 28, 28)).astype(np.uint8),
    TRAIN_LABELS: rng.integers(0, 10, 40).astype(np.uint8),
    TEST_IMAGES: rng.integers(0, 256, (10, 28, 28)).astype(np.uint8),
    TEST_LABELS: rng.integers(0, 10, 10).astype(np.uint8),
}


def content(array):
    return bytes([0, 0, 8, array.ndim]) + b"".join(size.to_bytes(4, "big") for size in array.shape) + array.tobytes()


# Fashion-MNIST's name and shape, 50 images, and no other source than the folder that a test names.
SMALL = dataclasses.replace(
    FASHION_MNIST,
    counts={"train": 40, "test": 10},
    files={name: SourceFile(hashlib.sha256(content(array)).hexdigest(), "0" * 64, 1) for name, array in ARRAYS.items()},
    url="http://127.0.0.1:9/",
    debian_folder=None,
)


@pytest.fixture
def source(tmp_path):
    folder = tmp_path / "source"
    folder.mkdir()
    for name, array in ARRAYS.items():
        (folder / f"{name}.gz").write_bytes(gzip.compress(content(array)))
    return folder


@pytest.fixture
def data_dir(tmp_path):
    return tmp_path / "data"


def is_right(splits):
    train, test = splits
    assert np.array_equal(train.images[..., 0], ARRAYS[TRAIN_IMAGES])
    assert np.array_equal(train.labels, ARRAYS[TRAIN_LABELS])
    assert np.array_equal(test.images[..., 0], ARRAYS[TEST_IMAGES])
    assert np.array_equal(test.labels, ARRAYS[TEST_LABELS])


def test_prepared_once_and_read_without_the_source(source, data_dir):
    is_right(load_named(SMALL, str(source), data_dir))
    shutil.rmtree(source)
    is_right(load_named(SMALL, None, data_dir))


def test_it_is_a_tfds_data_set_in_the_published_order(source, data_dir):
    load_named(SMALL, str(source), data_dir)
    loaded = load(cfg.Tfds(dataset="fashion_mnist", data_dir=str(data_dir)), 0)
    is_right((loaded.train, loaded.test))
    assert loaded.class_names[-1] == "Ankle boot"
    assert list((data_dir / "fashion_mnist").glob("*/*.array_record*"))


def test_records_of_older_versions_mend_the_files(source, data_dir):
    load_named(SMALL, str(source), data_dir)
    prepared_folder = data_dir / "fashion_mnist"
    shutil.rmtree(prepared_folder / "1.0.0")
    pixels = tfds.features.Tensor(shape=(28, 28, 1), dtype=np.uint8)  # each as a number
    features = tfds.features.FeaturesDict({"image": pixels, "label": tfds.features.ClassLabel(num_classes=10)})
    identity = tfds.core.dataset_info.DatasetIdentity("fashion_mnist", "1.0.0", str(prepared_folder / "1.0.0"), "older")
    (prepared_folder / "1.0.0").mkdir()
    writer = tfds.core.SequentialWriter(
        tfds.core.DatasetInfo(builder=identity, features=features), 100, file_format="array_record"
    )
    writer.initialize_splits(["train", "test"])
    for split, images, labels in (("train", TRAIN_IMAGES, TRAIN_LABELS), ("test", TEST_IMAGES, TEST_LABELS)):
        pairs = zip(ARRAYS[images], ARRAYS[labels], strict=True)
        writer.add_examples({split: [{"image": image[..., None], "label": label} for image, label in pairs]})
    writer.close_all()
    shutil.rmtree(prepared_folder / "idx")
    is_right(load_named(SMALL, None, data_dir))


def test_other_spellings_of_the_names(source, data_dir):
    for file in list(source.iterdir()):
        plain = source / file.name.removesuffix(".gz").replace("-idx", ".idx")
        plain.write_bytes(gzip.decompress(file.read_bytes()))
        file.unlink()
    is_right(load_named(SMALL, str(source), data_dir))


@pytest.mark.parametrize("damage", ["idx gone", "idx altered", "records altered and idx gone", "records gone"])
def test_damaged_prepared_data_is_mended(source, data_dir, damage):
    load_named(SMALL, str(source), data_dir)
    folder = data_dir / "fashion_mnist"
    if "idx gone" in damage:
        (folder / "idx" / TEST_LABELS).unlink()
    if "idx altered" in damage:
        path = folder / "idx" / TRAIN_IMAGES
        path.write_bytes(path.read_bytes()[:-1] + b"\0")
    if "records altered" in damage:
        for path in folder.glob("*/*train.array_record*"):
            path.write_bytes(path.read_bytes()[:2000])
    if damage == "records gone":
        shutil.rmtree(folder / "1.0.0")
    is_right(load_named(SMALL, str(source), data_dir))
    mended = (folder / "idx" / TEST_LABELS).read_bytes()
    assert hashlib.sha256(mended).hexdigest() == SMALL.files[TEST_LABELS].content_sha256
    assert (folder / "1.0.0" / "dataset_info.json").exists()


@pytest.mark.parametrize("name", ["incomplete.AB12CD_1.0.0", "incomplete.1.0.0", "1.0.0.old"])
def test_what_a_killed_process_has_left_is_not_taken_for_the_data(source, data_dir, name):
    load_named(SMALL, str(source), data_dir)
    (data_dir / SMALL.name / "1.0.0").rename(data_dir / SMALL.name / name)  # as if it had been killed before the move
    load_named(SMALL, str(source), data_dir)
    assert (data_dir / SMALL.name / "1.0.0" / "dataset_info.json").is_file()
    assert not list((data_dir / SMALL.name).glob("incomplete.*"))


def test_a_process_reads_it_once_until_a_file_is_touched(source, data_dir, monkeypatch):
    monkeypatch.setitem(NAMED_SETS, "fashion_mnist", SMALL)
    config = cfg.FashionMnist(idx_dir=str(source))
    _, second, third = (load(config, seed, data_dir) for seed in range(3))
    assert np.shares_memory(second.train.images, third.train.images)
    altered = data_dir / "fashion_mnist" / "idx" / TRAIN_IMAGES
    altered.write_bytes(altered.read_bytes()[:-1] + b"\0")
    fourth = load(config, 3, data_dir)
    is_right((fourth.train, fourth.test))
    assert not np.shares_memory(third.train.images, fourth.train.images)
    assert hashlib.sha256(altered.read_bytes()).hexdigest() == SMALL.files[TRAIN_IMAGES].content_sha256


def test_wrong_sources_are_told(source, data_dir, tmp_path):
    with pytest.raises(DataError, match=r"config.data.idx_dir: .*nowhere is no folder"):
        load_named(SMALL, str(tmp_path / "nowhere"), data_dir)
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=rf"empty has no {TRAIN_IMAGES}, {TRAIN_LABELS}"):
        load_named(SMALL, str(tmp_path / "empty"), data_dir)
    labels = source / f"{TRAIN_LABELS}.gz"
    whole = labels.read_bytes()
    labels.write_bytes(gzip.compress(content(ARRAYS[TRAIN_LABELS])[:-3]))
    with pytest.raises(DataError, match=r"train-labels-idx1-ubyte.gz is cut short: 37 values"):
        load_named(SMALL, str(source), data_dir)
    labels.write_bytes(gzip.compress(content(ARRAYS[TRAIN_LABELS][::-1])))
    with pytest.raises(DataError, match=r"is not Fashion-MNIST's train-labels-idx1-ubyte: the SHA-256"):
        load_named(SMALL, str(source), data_dir)
    labels.write_bytes(whole)
    is_right(load_named(SMALL, str(source), data_dir))


def test_mnist_in_fashion_mnists_place(source, data_dir, monkeypatch):
    monkeypatch.setitem(NAMED_SETS, "fashion_mnist", SMALL)
    mnist = dataclasses.replace(SMALL, name="mnist", title="MNIST", files=MNIST.files)
    with pytest.raises(DataError, match=r"holds Fashion-MNIST's train-images-idx3-ubyte, not MNIST's"):
        load_named(mnist, str(source), data_dir)


def test_no_source_tells_what_helps(data_dir, monkeypatch):
    monkeypatch.setattr("cnn_jax.data.sources.download.TIMEOUT_SECONDS", 0.5)
    with pytest.raises(DataError) as caught:
        load_named(SMALL, None, data_dir)
    message = str(caught.value)
    for part in ("apt-get install dataset-fashion-mnist", "--config.data.idx_dir=FOLDER", SMALL.url, TEST_LABELS):
        assert part in message


def test_a_folder_that_cannot_be_written(source, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match=r"--data_dir: cannot write to .*file"):
        load_named(SMALL, str(source), tmp_path / "file")


PREPARE = """
import sys
sys.path.insert(0, {tests!r})
import test_mnist as t
from pathlib import Path
t.is_right(t.load_named(t.SMALL, {source!r}, Path({data_dir!r})))
assert "tensorflow" not in sys.modules
"""


def preparing(source, data_dir, moment=None):
    """Another process that prepares the same data."""
    script = PREPARE.format(tests=str(Path(__file__).parent), source=str(source), data_dir=str(data_dir))
    environment = dict(moment.environment if moment else os.environ)
    folders = [environment.get("PYTHONPATH", ""), *map(str, (Path(__file__).parents[2], Path(__file__).parents[3]))]
    environment["PYTHONPATH"] = os.pathsep.join(folders)
    return subprocess.Popen([sys.executable, "-c", script], env=environment, stderr=subprocess.PIPE, text=True)


def test_processes_at_the_same_time(source, data_dir):
    processes = [preparing(source, data_dir) for _ in range(3)]
    errors = [process.communicate(timeout=600)[1] for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0], errors
    assert sum("preparing Fashion-MNIST" in error for error in errors) == 1


def end(process):
    """A process's exit code, and what it said."""
    error = process.communicate(timeout=600)[1]
    return process.returncode, error


@pytest.mark.parametrize("kills", [2, pytest.param(4, marks=pytest.mark.exhaustive)])
def test_killed_in_the_middle(source, data_dir, tmp_path, kills):
    moments = random.Random(0)
    for kill in range(kills):
        # Preparing a copy of what the last kill left tells how many events there are, up to the last move into place.
        copy, begins = tmp_path / f"copy-{kill}", {"opened": ".fashion_mnist.lock"}
        if data_dir.exists():
            shutil.copytree(data_dir, copy)
        count = Moment(tmp_path / f"count-{kill}", "test_mnist", action="count", until="/1.0.0", **begins)
        code, error = end(preparing(source, copy, count))
        assert code == 0, error
        (events,) = count.counted
        when = begins | {"events": moments.randrange(1, events)}
        killed = preparing(source, data_dir, Moment(tmp_path / str(kill), "test_mnist", action="SIGKILL", **when))
        assert end(killed)[0] == -signal.SIGKILL
    is_right(load_named(SMALL, str(source), data_dir))
    assert not list((data_dir / "fashion_mnist").glob("incomplete*"))


def test_where_prepared_data_lies(monkeypatch, tmp_path):
    monkeypatch.setenv("CNN_JAX_DATA_DIR", str(tmp_path))
    assert published.default_data_dir() == tmp_path
    monkeypatch.delenv("CNN_JAX_DATA_DIR")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert published.default_data_dir() == tmp_path / "cache" / "cnn_jax" / "data"


if Path(str(FASHION_MNIST.debian_folder)).is_dir():

    def test_the_real_fashion_mnist(tmp_path):
        train, test = load_named(FASHION_MNIST, None, tmp_path)
        assert (train.images.shape, test.images.shape) == ((60000, 28, 28, 1), (10000, 28, 28, 1))
        assert np.bincount(train.labels).tolist() == [6000] * 10
        assert np.bincount(test.labels).tolist() == [1000] * 10


def test_a_file_that_cannot_be_read_now_is_not_damaged(source, data_dir, monkeypatch):
    load_named(SMALL, str(source), data_dir)
    files = {path: path.read_bytes() for path in data_dir.rglob("*") if path.is_file()}
    real = Path.read_bytes

    def read_bytes(path):
        if path.name == TEST_IMAGES:
            raise OSError(errno.EIO, "Input/output error")
        return real(path)

    monkeypatch.setattr(Path, "read_bytes", read_bytes)
    with pytest.raises(DataError, match=rf"^--data_dir: .*{TEST_IMAGES} cannot be read: Input/output error"):
        load_named(SMALL, None, data_dir)
    monkeypatch.undo()
    assert {path: path.read_bytes() for path in data_dir.rglob("*") if path.is_file()} == files
    is_right(load_named(SMALL, None, data_dir))


@pytest.mark.parametrize("name", ["x[1]", "a b", "*", "ü 数", "%s", "~"])
def test_names_of_data_folders(source, tmp_path, name, monkeypatch):
    monkeypatch.setitem(NAMED_SETS, "fashion_mnist", SMALL)
    folder = tmp_path / name / "data"
    is_right(load_named(SMALL, str(source), folder))
    is_right(load_named(SMALL, None, folder))
    shutil.rmtree(folder / "fashion_mnist" / "idx")  # made again of the records
    is_right(load_named(SMALL, None, folder))


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_a_data_folder_that_is_something_else(source, tmp_path, kind):
    if kind == "file":
        (tmp_path / "data").write_text("mine")
    else:
        (tmp_path / "data" / "fashion_mnist").mkdir(parents=True)
        (tmp_path / "data" / "fashion_mnist" / "idx").write_text("mine")
    with pytest.raises(DataError, match=r"^--data_dir: cannot write to .*; name another with --data_dir"):
        load_named(SMALL, str(source), tmp_path / "data")
