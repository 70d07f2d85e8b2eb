"""IDX files, whole and damaged."""

import gzip
from pathlib import Path

import numpy as np
import pytest

from cnn_jax.data.errors import DataError
from cnn_jax.data.sources import memory
from cnn_jax.data.sources.data_file import read_bytes
from cnn_jax.data.sources.idx import read_idx, read_split

IMAGES = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
CONTENT = bytes([0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 4]) + IMAGES.tobytes()
LABELS = bytes([0, 0, 8, 1, 0, 0, 0, 2, 7, 9])


def test_the_format(tmp_path):
    (tmp_path / "x").write_bytes(CONTENT)
    assert np.array_equal(read_idx(tmp_path / "x", "f"), IMAGES)


def pack(content):
    """Compresses to the same bytes at any time, so that tests keep their names."""
    return gzip.compress(content, mtime=0)


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
        (b"QK\3\4", r"is no IDX file: it starts with 51 4b 03 04"),
        (bytes([0, 0, 13, 1, 0, 0, 0, 0]), r"IDX type 0x0d, expected unsigned bytes"),
        (CONTENT[:10], "cut short in its header"),
        (CONTENT[:-5], r"is cut short: 19 values, its header \(2, 3, 4\) announces 24"),
        (CONTENT + b"xy", "has bytes left over"),
        (bytes([0, 0, 8, 65, *[0, 0, 0, 1] * 65, 7]), "announces 65 axes, expected 1 for labels, 3 or 4 for images"),
        (bytes([0, 0, 8, 255]), "announces 255 axes"),
        (bytes([0, 0, 8, 0]), "announces 0 axes"),
        (bytes([0, 0, 8, 3, *[0] * 4, *[255] * 8]), r"has no images or labels: .* \(0, 4294967295, 4294967295\)"),
        (bytes([0, 0, 8, 4, *[255] * 12, *[0] * 4]), "has no images or labels"),
        (
            bytes([0, 0, 8, 1, *[255] * 4, 1, 2, 3]),
            r"is cut short: 3 values, its header \(4294967295,\) announces",
        ),
        (bytes([0, 0, 8, 4, *[255] * 16]), "is cut short: 0 values"),
    ],
)
def test_damaged_content(tmp_path, content, message):
    (tmp_path / "file").write_bytes(content)
    with pytest.raises(DataError, match=message):
        read_idx(tmp_path / "file", "config.data.train_images")


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


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (pack(CONTENT)[:-9], "is a damaged gz file"),
        (pack(CONTENT)[:12], "is a damaged gz file"),
        (pack(CONTENT)[:-8] + bytes(8), "is a damaged gz file"),  # its checksum
        (pack(CONTENT) + b"more", "is a damaged gz file"),
        (b"\x1f\x8b", "is a damaged gz file"),
        (pack(b""), "is empty"),
        (pack(CONTENT[:-5]), "is cut short: 19 values,"),
        (pack(CONTENT + bytes(1 << 21)), "has bytes left over: at least 1,048,576 after the 24 values"),
        (pack(bytes([0, 0, 8, 3, *[255] * 12])), "is cut short: .* values at most"),
        (pack(b"label,pixel"), "is no IDX file: it starts with 6c 61 62 65"),
    ],
)
def test_damaged_gz_files(tmp_path, content, message):
    (tmp_path / "images.gz").write_bytes(content)
    with pytest.raises(DataError, match=message) as caught:
        read_idx(tmp_path / "images.gz", "config.data.train_images")
    assert str(caught.value).startswith(f"config.data.train_images: {tmp_path / 'images.gz'} ")


def test_every_length_of_a_cut_file_is_refused(tmp_path):
    for name, whole in (("plain", CONTENT), ("packed", gzip.compress(CONTENT))):
        for length in range(len(whole)):
            (tmp_path / name).write_bytes(whole[:length])
            with pytest.raises(DataError, match=r"is empty|cut short|damaged gz|no IDX file"):
                read_idx(tmp_path / name, "f")


def test_a_path_with_a_nul():
    with pytest.raises(DataError, match=r"config.data.train_images: 'a\\x00b' is no path: embedded null"):
        read_idx(Path("a\0b"), "config.data.train_images")


def test_images_that_do_not_fit_into_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(memory.host_memory, "free_bytes", lambda: 1 << 20)
    (tmp_path / "small").write_bytes(bytes([0, 0, 8, 1, 0, 16, 0, 0]) + bytes(1 << 20))
    assert len(read_idx(tmp_path / "small", "f")) == 1 << 20
    with (tmp_path / "large").open("wb") as file:
        file.write(bytes([0, 0, 8, 3, 0, 0, 16, 0, 0, 0, 16, 0, 0, 0, 16, 0]))
        file.truncate(16 + 4096**3)  # a sparse file: it takes no room on disk
    with pytest.raises(DataError, match=r"f: .*large: the images take 68.7 GB of memory, and 1.0 MB are free"):
        read_idx(tmp_path / "large", "f")
