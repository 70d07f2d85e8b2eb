"""TFDS sets written by TensorFlow (samples) and by TFDS without it, read pixel for pixel."""

import dataclasses
import json
import pickle
import shutil

import numpy as np
import pytest
from samples import SAMPLES

from cnn_jax import config as cfg
from cnn_jax import data
from cnn_jax.data.errors import DataError
from cnn_jax.data.sources import tfds_set
from cnn_jax.data.sources.declared import declared

FOLDERS = {kind: SAMPLES / "tfds" / "smooth" / kind / "1.0.0" for kind in ("png", "jpeg")}


@pytest.fixture(scope="module")
def pixels():
    with np.load(SAMPLES / "pixels.npz") as arrays:
        return dict(arrays)


def config(**fields):
    return cfg.Tfds(data_dir=str(SAMPLES / "tfds"), **fields)


@pytest.mark.parametrize("memory", ["device", "stream"])
@pytest.mark.parametrize(("kind", "tolerance"), [("png", 0), ("jpeg", 1)])
def test_what_tensorflow_wrote(pixels, kind, tolerance, memory):
    loaded = data.load(config(dataset=f"smooth/{kind}:1.0.0", memory=memory, workers=0), 0)
    for split, found in (("train", loaded.train), ("test", loaded.test)):
        images = found.images if memory == "device" else dataclasses.replace(found, shuffled=False).some(100).images
        difference = np.abs(images.astype(int) - pixels[f"tfds_{kind}_{split}"])
        assert difference.max() <= tolerance
    assert loaded.class_names == ("cat", "dog", "boat")
    assert (len(loaded.train), len(loaded.test)) == (10, 4)


def test_a_folder_and_a_tensor(pixels):
    loaded = data.load(cfg.Tfds(folder=str(FOLDERS["png"]), image="raw"), 0)
    np.testing.assert_array_equal(loaded.train.images, pixels["tfds_png_train"])
    np.testing.assert_array_equal(loaded.train.labels, np.arange(10) % 3)


def test_split_expressions(pixels):
    loaded = data.load(
        config(dataset="smooth/png", train_split="train[:70%]", validation_split="train[70%:]", test_split="test[1:3]"),
        0,
    )
    train = pixels["tfds_png_train"]
    np.testing.assert_array_equal(loaded.train.images, train[:7])
    np.testing.assert_array_equal(loaded.validation.images, train[7:])
    np.testing.assert_array_equal(loaded.test.images, pixels["tfds_png_test"][1:3])
    assert not [warning for warning in loaded.warnings if "share" in warning]
    both = data.load(config(dataset="smooth/png", train_split="train+test"), 0)
    assert len(both.train) == 14
    shared = "config.data.train_split=train+test and config.data.test_split=test share 4 examples"
    assert shared in both.warnings
    assert both.checksum != loaded.checksum


def test_examples_go_to_other_processes():
    for image in ("image", "raw"):
        examples = tfds_set.open_set(config(dataset="smooth/png", image=image)).train
        twin = pickle.loads(pickle.dumps(examples))
        np.testing.assert_array_equal(twin[9].picture, examples[9].picture)
    assert "array_record-00000-of-00001" in examples.place(9)


def test_classes_are_known_before():
    assert declared(config(dataset="smooth/png")) == (None, 3)
    assert declared(config(dataset="elsewhere", height=4, width=5, channels=1)) == ((4, 5, 1), None)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"dataset": "smooth"}, "has the configs jpeg, png; name one, such as smooth/jpeg"),
        ({"dataset": "smooth/png:2.0.0"}, "has the versions 1.0.0, and no 2.0.0"),
        ({"dataset": "Smooth png"}, "such as cifar10:3.0.2"),
        ({"dataset": "smooth/png", "train_split": "trian"}, r"no split 'trian', it has train \(10\), test \(4\)"),
        ({"dataset": "smooth/png", "train_split": "train[:x]"}, r"config.data.train_split: .* no split 'train\[:x\]'"),
        ({"dataset": "smooth/png", "train_split": "train[:0]"}, "has no examples"),
        ({"dataset": "smooth/png", "image": "label"}, "has image, raw of the type Image or Tensor"),
    ],
)
def test_what_is_not_there_is_refused(fields, expected):
    with pytest.raises(DataError, match=expected):
        data.load(config(**fields), 0)


def test_the_command_that_prepares_what_is_not_prepared():
    with pytest.raises(DataError) as caught:
        data.load(config(dataset="cifar10:3.0.2"), 0)
    assert "pip install -r requirements-tfds.txt" in str(caught.value)
    expected = (
        f"tfds.builder('cifar10:3.0.2', data_dir='{SAMPLES / 'tfds'}', file_format='array_record')"
        ".download_and_prepare()"
    )
    assert expected in str(caught.value)


def test_tfrecord_files_are_answered_by_the_command(tmp_path):
    folder = tmp_path / "sets" / "smooth" / "png" / "1.0.0"
    shutil.copytree(FOLDERS["png"], folder)
    info = json.loads((folder / "dataset_info.json").read_text())
    info["fileFormat"] = "tfrecord"
    (folder / "dataset_info.json").write_text(json.dumps(info))
    with pytest.raises(DataError) as caught:
        data.load(cfg.Tfds(folder=str(folder)), 0)
    assert "in the format tfrecord, expected array_record" in str(caught.value)
    target = tmp_path / "sets-array_record"
    assert f"tfds.builder('smooth/png:1.0.0', data_dir='{target}', file_format='array_record')" in str(caught.value)


def test_damaged_files(tmp_path):
    folder = tmp_path / "1.0.0"
    shutil.copytree(FOLDERS["png"], folder)
    shard = next(folder.glob("*train.array_record*"))
    whole = shard.read_bytes()
    shard.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match=f"{shard.name} is damaged or cut short"):
        data.load(cfg.Tfds(folder=str(folder)), 0)
    shard.unlink()
    with pytest.raises(DataError, match=f"{shard.name} is missing"):
        data.load(cfg.Tfds(folder=str(folder)), 0)
    (folder / "features.json").write_text("{")
    with pytest.raises(DataError, match=r"features.json is damaged or missing"):
        data.load(cfg.Tfds(folder=str(folder)), 0)
    with pytest.raises(DataError, match=r"has no dataset_info.json.*name .*1.0.0"):
        data.load(cfg.Tfds(folder=str(tmp_path)), 0)
