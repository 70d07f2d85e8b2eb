"""IDX files, whole and damaged."""

import gzip
from pathlib import Path

import numpy as np
import pytest

from cnn_jax.data.errors import DataError
from cnn_jax.data.idx import parse_idx, read_bytes, read_split

IMAGES = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
CONTENT = bytes([0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 4]) + IMAGES.tobytes()
LABELS = bytes([0, 0, 8, 1, 0, 0, 0, 2, 7, 9])


def test_the_format():
    assert np.array_equal(parse_idx(CONTENT, Path("x"), "f"), IMAGES)


@pytest.mark.parametrize("packed", [False, True])
def test_a_split(tmp_path, packed):
    for name, content in (("images", CONTENT), ("labels", LABELS)):
        (tmp_path / name).write_bytes(gzip.compress(content) if packed else content)
    split = read_split(tmp_path / "images", tmp_path / "labels", "a", "b")
    assert np.array_equal(split.images[..., 0], IMAGES)
    assert split.labels.tolist() == [7, 9]
    assert (split.images.dtype, split.labels.dtype) == (np.uint8, np.int32)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"PK\3\4", r"is no IDX file: it starts with 50 4b 03 04"),
        (bytes([0, 0, 13, 1, 0, 0, 0, 0]), r"IDX type 0x0d, expected unsigned bytes"),
        (CONTENT[:10], "cut short in its header"),
        (CONTENT[:-5], r"is cut short: 19 values, its header \(2, 3, 4\) announces 24"),
        (CONTENT + b"xy", "has bytes left over"),
    ],
)
def test_damaged_content(content, message):
    with pytest.raises(DataError, match=message):
        parse_idx(content, Path("file"), "config.data.train_images")


def test_damaged_files(tmp_path):
    path = tmp_path / "images.gz"
    with pytest.raises(DataError, match=r"config.data.x: there is no file .*images.gz"):
        read_bytes(path, "config.data.x")
    path.write_bytes(gzip.compress(CONTENT)[:-9])
    with pytest.raises(DataError, match=r"images.gz is a damaged gz file"):
        read_bytes(path, "config.data.x")
    with pytest.raises(DataError, match="cannot be read: Is a directory"):
        read_bytes(tmp_path, "config.data.x")


@pytest.mark.parametrize(
    ("images", "labels", "message"),
    [
        (LABELS, CONTENT, r"a: .*expected \[n, height, width\]; are images and labels exchanged"),
        (CONTENT, CONTENT, r"b: .*expected \[n\]"),
        (CONTENT, bytes([0, 0, 8, 1, 0, 0, 0, 1, 7]), "has 1 labels for the 2 images"),
        (bytes([0, 0, 8, 3, *[0] * 12]), LABELS, "has no images"),
        (bytes([0, 0, 8, 4, *[0, 0, 0, 1] * 3, 0, 0, 0, 2, 1, 1]), LABELS, "2 channels"),
    ],
)
def test_what_does_not_fit_together(tmp_path, images, labels, message):
    (tmp_path / "images").write_bytes(images)
    (tmp_path / "labels").write_bytes(labels)
    with pytest.raises(DataError, match=message):
        read_split(tmp_path / "images", tmp_path / "labels", "a", "b")
