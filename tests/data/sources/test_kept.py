"""A process of many runs reads the same files once, and notices when they are touched."""

import os

import numpy as np
import pytest
from PIL import Image

from cnn_jax import config as cfg
from cnn_jax.data import load
from cnn_jax.data.sources import kept
from cnn_jax.data.sources.image_folder import FolderExamples
from cnn_jax.run import host_memory


@pytest.fixture
def keeping():
    kept.keep()
    yield
    kept.keep(False)


@pytest.fixture
def decoded(monkeypatch):
    """Numbers of the pictures that have been read."""
    numbers, get = [], FolderExamples.__getitem__

    def counted(pictures, number):
        numbers.append(number)
        return get(pictures, number)

    monkeypatch.setattr(FolderExamples, "__getitem__", counted)
    return numbers


@pytest.fixture
def folder(tmp_path):
    for name, grey in (("dark", 10), ("light", 200)):
        (tmp_path / name).mkdir()
        for number in range(4):
            Image.new("L", (6, 4), grey + number).save(tmp_path / name / f"{number}.png")
    return cfg.ImageFolder(train_dir=str(tmp_path), height=4, width=6, channels=1, test_fraction=0.25)


def test_every_seed_draws_from_what_was_read(folder, decoded, keeping):
    kept.keep(False)
    expected = [load(folder, seed) for seed in range(4)]
    assert len(decoded) == 32, "a process of one run keeps nothing"
    decoded.clear()
    kept.keep()
    found = [load(folder, seed) for seed in range(4)]
    assert len(decoded) == 8
    assert len({each.checksum for each in found}) > 1, "seeds draw other test images"
    for one, other in zip(found, expected, strict=True):
        assert one.checksum == other.checksum
        np.testing.assert_array_equal(one.train.images, other.train.images)
        np.testing.assert_array_equal(one.test.labels, other.test.labels)
        assert one.train.files == other.train.files


def test_what_is_touched_is_read_anew(folder, decoded, keeping, tmp_path):
    before = load(folder, 0).checksum
    picture = tmp_path / "dark" / "0.png"
    Image.new("L", (6, 4), 99).save(picture)
    os.utime(picture, ns=(1, 1))
    assert load(folder, 0).checksum != before
    assert len(decoded) == 16
    (tmp_path / "dark" / "4.png").write_bytes(picture.read_bytes())
    load(folder, 0)
    assert len(decoded) == 16 + 9, "another list of files"
    load(folder.model_copy(update={"height": 8}), 0)
    assert len(decoded) == 25 + 9, "another size"
    load(folder, 0)
    assert len(decoded) == 34


def test_a_source_that_is_large_beside_the_memory_is_not_kept(folder, decoded, keeping, monkeypatch):
    monkeypatch.setattr(host_memory, "free_bytes", lambda: 4 * 8 * 24 - 1)  # 8 pictures of 24 bytes are a quarter
    load(folder, 0)
    load(folder, 0)
    assert len(decoded) == 16
    monkeypatch.setattr(host_memory, "free_bytes", lambda: 4 * 8 * 24)
    load(folder, 0)
    load(folder, 0)
    assert len(decoded) == 24
