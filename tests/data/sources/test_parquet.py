"""Parquet files written by Hugging Face datasets (samples) and by pyarrow, read pixel for pixel."""

import io
import json
import pickle

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from samples import SAMPLES

from cnn_jax import config as cfg
from cnn_jax import data
from cnn_jax.data.errors import DataError
from cnn_jax.data.sources import parquet


def png(pixels):
    content = io.BytesIO()
    Image.fromarray(pixels).save(content, "PNG")
    return content.getvalue()


def write(path, labels, *, names=None, side=5, rows=3, column="label", image=lambda content: {"bytes": content}):
    pixels = np.random.default_rng(len(labels)).integers(0, 256, (len(labels), side, side), np.uint8)
    table = pa.table({"image": [image(png(each)) for each in pixels], column: labels})
    if names is not None:
        features = {"image": {"_type": "Image"}, column: {"names": names, "_type": "ClassLabel"}}
        table = table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path, row_group_size=rows)
    return pixels


@pytest.fixture
def folder(tmp_path):
    write(tmp_path / "data" / "train-00000-of-00001.parquet", [0, 1, 2, 0, 1, 2, 0], names=["a", "b", "c"])
    write(tmp_path / "data" / "test-00000-of-00001.parquet", [2, 1, 0], names=["a", "b", "c"])
    return tmp_path


def config(folder, **fields):
    return cfg.Parquet(folder=str(folder), **fields)


def test_what_hugging_face_wrote():
    loaded = data.load(config(SAMPLES / "parquet"), 0)
    with np.load(SAMPLES / "pixels.npz") as expected:
        np.testing.assert_array_equal(loaded.train.images, expected["parquet_train"])
        np.testing.assert_array_equal(loaded.test.images, expected["parquet_test"])
    assert loaded.class_names == ("cat", "dog", "boat")
    np.testing.assert_array_equal(loaded.train.labels, np.arange(10) % 3)


def test_row_groups_are_read_together(folder, monkeypatch):
    """An epoch reads every row group once, and has every example once, mixed."""
    monkeypatch.setattr("cnn_jax.data.sources.epoch_order.MIXED", 2)
    reads = []
    read = pq.ParquetFile.read_row_group
    monkeypatch.setattr(
        pq.ParquetFile, "read_row_group", lambda self, group, **k: reads.append(group) or read(self, group, **k)
    )
    loaded = data.load(config(folder, memory="stream", workers=0), 5)
    stream = loaded.train.in_batches(7)
    del reads[:]
    labels = [stream.batch(epoch).labels.tolist() for epoch in range(3)]
    assert all(sorted(each) == [0, 0, 0, 1, 1, 2, 2] for each in labels)
    assert len({tuple(each) for each in labels}) > 1
    assert len(reads) <= 3


def test_host_and_stream_give_the_same_batches(folder):
    found = []
    for memory in ("host", "stream"):
        loaded = data.load(config(folder, memory=memory, workers=0, train_examples=5), 1)
        found.append([loaded.train.in_batches(3).batch(step) for step in range(4)])
    for one, other in zip(*found, strict=True):
        np.testing.assert_array_equal(one.images, other.images)
        np.testing.assert_array_equal(one.labels, other.labels)


def test_examples_go_to_other_processes(folder):
    examples = parquet.open_files(config(folder)).train
    assert examples[6] == pickle.loads(pickle.dumps(examples))[6]


def test_grey_bytes_and_names_of_classes(tmp_path):
    train = write(tmp_path / "train" / "0.parquet", ["dog", "cat", "dog"], image=lambda content: content)
    write(tmp_path / "test" / "0.parquet", ["cat", "dog"], image=lambda content: content)
    loaded = data.load(config(tmp_path), 0)
    assert loaded.class_names == ("cat", "dog")
    assert loaded.image_shape == (5, 5, 1)
    np.testing.assert_array_equal(loaded.train.images[..., 0], train)
    np.testing.assert_array_equal(loaded.train.labels, [1, 0, 1])


@pytest.mark.parametrize(
    ("labels", "options", "expected"),
    [
        ([0, 3], {"names": ["a", "b", "c"]}, "the label 3 at example 1 of train, expected 0 to 2"),
        ([0, -1], {"names": ["a", "b", "c"]}, "-1 stands for no label"),
        ([0, None], {}, "1 rows without a label"),
        ([0, 1], {"column": "kind"}, "the label 2 in test|has no column"),
        ([0.5, 1.0], {}, "name one of labels"),
        ([0, 1, 2], {"image": lambda content: {"path": "a.png", "bytes": None}}, "perhaps a path alone|name one"),
        ([0, 1, 2], {"image": lambda content: {"bytes": b"GIF"}}, "cannot be read as a picture"),
    ],
)
def test_what_is_no_data_set_is_refused(folder, labels, options, expected):
    write(folder / "data" / "train-00000-of-00001.parquet", labels, **options)
    with pytest.raises(DataError, match=expected):
        data.load(config(folder), 0)


def test_damaged_files(folder):
    file = folder / "data" / "train-00000-of-00001.parquet"
    whole = file.read_bytes()
    for content, expected in (
        (whole[:-9], "train-00000-of-00001.parquet is no Parquet file, or a damaged one"),
        (b"version https://git-lfs.github.com/spec/v1\n", "git lfs pull"),
        (b"", "no Parquet file"),
    ):
        file.write_bytes(content)
        with pytest.raises(DataError, match=expected):
            data.load(config(folder), 0)


def test_several_data_sets_in_one_folder(folder):
    write(folder / "other" / "train-0.parquet", [0, 1])
    with pytest.raises(DataError, match="in 2 folders, perhaps several data sets"):
        data.load(config(folder), 0)
