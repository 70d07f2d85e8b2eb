"""Tar files of pictures with labels, written by Python's tarfile as the webdataset package names members."""

import io
import json
import pickle
import tarfile

import numpy as np
import pytest
from PIL import Image

from cnn_jax import config as cfg
from cnn_jax import data
from cnn_jax.config.parsing import ConfigError, parse
from cnn_jax.data.errors import DataError
from cnn_jax.data.sources import memory, pictures, webdataset


def encoded(pixels, kind):
    content = io.BytesIO()
    Image.fromarray(pixels).save(content, kind, lossless=True) if kind == "WEBP" else Image.fromarray(pixels).save(
        content, kind
    )
    return content.getvalue()


def write(path, members):
    with tarfile.open(path, "w") as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))


def drawn(count, seed, side=6):
    return np.random.default_rng(seed).integers(0, 256, (count, side, side, 3), np.uint8)


def members(images, start=0, label=lambda number: {"cls": b"%d" % (number % 3)}):
    found = {}
    for number, pixels in enumerate(images, start):
        kind = ("PNG", "WEBP", "BMP")[number % 3]
        found[f"a.b/{number:05}.{kind.lower()}"] = encoded(pixels, kind)
        found |= {f"a.b/{number:05}.{name}": content for name, content in label(number).items()}
    return found


@pytest.fixture
def shards(tmp_path):
    train, test = drawn(9, 0), drawn(4, 1)
    write(tmp_path / "set-train-000000.tar", members(train[:5]))
    write(tmp_path / "set-train-000001.tar", members(train[5:], 5))
    write(tmp_path / "set-val-000000.tar", members(test))
    (tmp_path / ".hidden-train.tar").write_bytes(b"of an editor")
    return tmp_path, train, test


def config(folder, **fields):
    return cfg.WebDataset(folder=str(folder), **fields)


def test_pixels_and_labels(shards):
    folder, train, test = shards
    loaded = data.load(config(folder), 0)
    np.testing.assert_array_equal(loaded.train.images, train)
    np.testing.assert_array_equal(loaded.test.images, test)
    np.testing.assert_array_equal(loaded.train.labels, np.arange(9) % 3)
    assert loaded.class_names == ("0", "1", "2")
    assert any("1 hidden file" in warning for warning in loaded.warnings)
    assert "on the devices (config.data.memory=auto)" in loaded.placement


def test_labels_in_json_and_by_name(tmp_path):
    names = ("cat", "dog", "boat")
    for split, seed in (("train", 0), ("test", 1)):
        described = members(
            drawn(6, seed), label=lambda number: {"json": json.dumps({"label": names[number % 3]}).encode()}
        )
        write(tmp_path / f"{split}.tar", described)
    loaded = data.load(config(tmp_path, label="json.label"), 0)
    assert loaded.class_names == ("boat", "cat", "dog")
    np.testing.assert_array_equal(loaded.train.labels, [1, 2, 0, 1, 2, 0])
    with pytest.raises(DataError, match=r"json, png|png, json.*and no cls"):
        data.load(config(tmp_path), 0)
    with pytest.raises(DataError, match="the keys label, and no class"):
        data.load(config(tmp_path, label="json.class"), 0)


def test_host_and_stream_give_the_same_batches(shards):
    folder, _train, _ = shards
    batches = {}
    for where in ("host", "stream"):
        loaded = data.load(config(folder, memory=where, workers=0, validation_fraction=0.3, height=5, width=7), 3)
        stream = loaded.train.in_batches(4)
        batches[where] = [stream.batch(step) for step in range(4)], loaded.validation.some(9), loaded.split_checksum
        assert f"config.data.memory={where}" in loaded.placement
        assert loaded.image_shape == (5, 7, 3)
    for one, other in zip(batches["host"][0], batches["stream"][0], strict=True):
        for array, twin in zip(one, other, strict=True):
            np.testing.assert_array_equal(array, twin)
    np.testing.assert_array_equal(batches["host"][1].images, batches["stream"][1].images)
    assert batches["host"][2] == batches["stream"][2]
    orders = [batch.labels.tolist() for batch in batches["host"][0]]
    assert orders[:2] != orders[2:], "each epoch has an order of its own"


def test_large_sets_stream_and_middle_ones_stay_in_memory(shards, monkeypatch):
    folder, *_ = shards
    size = 13 * 6 * 6 * 3
    for limit, free, expected in (
        (size, 0, "device"),
        (size - 1, 2 * size, "host"),
        (size - 1, 2 * size - 2, "stream"),
    ):
        monkeypatch.setattr(memory, "_ON_DEVICES", limit)
        monkeypatch.setattr(memory.host_memory, "free_bytes", lambda free=free: free)
        assert pictures.open_pictures(config(folder)).memory == expected


def test_random_crops_are_always_streamed(shards):
    folder, *_ = shards
    loaded = data.load(config(folder, height=4, width=4, crop_area=(0.3, 1.0), workers=0), 0)
    assert "draws their parts anew" in loaded.placement
    first, second = (loaded.train.in_batches(9).batch(epoch) for epoch in range(2))
    assert first.images.shape == (9, 4, 4, 3)
    by_label = [np.sort(batch.images.reshape(9, -1).sum(axis=1)) for batch in (first, second)]
    assert not np.array_equal(*by_label)
    with pytest.raises(ConfigError, match=r"config.data.memory=host holds pictures as they are seen"):
        parse(
            {
                "data": {"name": "webdataset", "folder": "a", "height": 4, "width": 4, "crop_area": (0.3, 1.0)}
                | {"memory": "host"}
            }
        )


def test_statistics_of_a_stream(shards):
    folder, train, _ = shards
    loaded = data.load(config(folder, memory="stream", workers=0), 0)
    mean, covariance = loaded.train.pixel_statistics()
    pixels = train.reshape(-1, 3).astype(np.float64)
    np.testing.assert_allclose(mean, pixels.mean(axis=0))
    np.testing.assert_allclose(covariance, np.cov(pixels.T, bias=True), rtol=1e-9, atol=1e-9)


def test_examples_go_to_other_processes(shards):
    folder, _train, _ = shards
    examples = pickle.loads(pickle.dumps(webdataset.open_shards(config(folder)).train))
    assert examples[4] == webdataset.open_shards(config(folder)).train[4]
    assert "a.b/00004.webp" in examples.place(4) or "a.b/00004" in examples.place(4)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"a.b/00000.cls": b"1.5"}, "labels that are numbers and others that are names"),
        ({"a.b/00000.cls": b"-1"}, "the label -1 at example 0 of train"),
        ({"a.b/00000.cls": b"9999"}, "would make 10,000 classes"),
        ({"a.b/00000.cls": b"\xff"}, "holds no label"),
        ({"a.b/00000.cls": b""}, "holds the label ''"),
        ({"a.b/00000.jpg": b"another"}, "png and jpg pictures, expected one"),
        ({"a.b/00000.png": b"no picture"}, r"a.b/00000.png of .* cannot be read as a picture"),
        ({"a.b/00001.webp": encoded(drawn(1, 0, side=5)[0], "WEBP")}, "set config.data.height and config.data.width"),
    ],
)
def test_what_is_no_data_set_is_refused(shards, changes, expected):
    folder, train, _ = shards
    write(folder / "set-train-000000.tar", members(train[:5]) | changes)
    with pytest.raises(DataError, match=expected):
        data.load(config(folder), 0)


def test_files_that_are_missing_or_damaged(shards):
    folder, *_ = shards
    with pytest.raises(DataError, match=r"config.data.test_split: none of the 3 .tar files .* has quiz in its name"):
        data.load(config(folder, test_split="quiz"), 0)
    with pytest.raises(DataError, match="does not exist"):
        data.load(config(folder / "none"), 0)
    whole = (folder / "set-val-000000.tar").read_bytes()
    (folder / "set-val-000000.tar").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match=r"set-val-000000\.tar is damaged or cut short"):
        data.load(config(folder), 0)


def test_two_classes_of_one_name_are_refused(shards):
    folder, *_ = shards
    with pytest.raises(DataError, match=r"two classes of .* have the same name"):
        data.load(config(folder, class_names=("a", "b", "a"), memory="stream", workers=0), 0)


def test_a_changed_file_changes_the_checksum(shards):
    folder, train, _ = shards
    before = data.load(config(folder), 0).checksum
    assert before == data.load(config(folder), 1).checksum
    train[2, 0, 0, 0] ^= 1
    write(folder / "set-train-000000.tar", members(train[:5]))
    assert data.load(config(folder), 0).checksum != before
