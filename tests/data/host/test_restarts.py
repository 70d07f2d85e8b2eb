"""Restart markers by jpegtran: the same pixels, and records whose parts are decoded without the rest."""

import io
import shutil
import warnings

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from cnn_jax.data import DataError
from cnn_jax.data.host import jpeg, restarts
from cnn_jax.data.host.crops import CentreCrop, RandomResizedCrop
from cnn_jax.data.sources import prepare_records
from cnn_jax.data.sources.records import Records, read_manifest
from scripts.imagenet_shaped import picture

needs_tool = pytest.mark.skipif(shutil.which("jpegtran") is None, reason="needs jpegtran")


def encoded(width, height, mode="RGB", kind="JPEG", **options):
    pixels = picture(width, height, (1.0, 0.8, 0.6), np.random.default_rng(3))
    buffer = io.BytesIO()
    Image.fromarray(pixels).convert(mode).save(buffer, kind, **options)
    return buffer.getvalue()


def prepare(source, target, **options):
    return prepare_records.prepare(source, target, 0.2, Console(file=io.StringIO()), **options)


def decoded(content):
    return np.asarray(Image.open(io.BytesIO(content)))


@needs_tool
@pytest.mark.parametrize(
    ("width", "height", "options", "tile", "growth"),
    [
        (500, 375, {"subsampling": 2}, (1, 1), 1.03),
        (375, 500, {"subsampling": 2}, (1, 1), 1.03),
        (500, 333, {"subsampling": 0}, (3, 1), 1.03),  # 63 units in a row; 2, a thirty-second, does not divide them
        (500, 333, {"subsampling": 1}, (1, 1), 1.04),
        (500, 375, {"subsampling": 2, "progressive": True}, (1, 1), 1.15),  # sequential codes are longer
        (500, 375, {"mode": "L"}, (3, 1), 1.04),
        (1520, 100, {"subsampling": 2}, (5, 1), 1.03),  # 95 units
        (16, 16, {"subsampling": 2}, (1, 1), 1.03),
    ],
)
def test_a_marked_jpeg_has_the_same_pixels_and_tiles(width, height, options, tile, growth):
    content = encoded(width, height, quality=90, exif=b"Exif\0\0MM\0*", **options)
    marked = restarts.mark(content)
    headers = jpeg.read(marked)
    assert headers.tile == tile
    assert headers.tiles_at is not None
    np.testing.assert_array_equal(decoded(marked), decoded(content))
    assert b"Exif\0\0MM\0*" in marked
    assert len(marked) < growth * len(content)
    assert restarts.mark(marked) == marked


@needs_tool
def test_what_cannot_be_marked_is_kept():
    whole = encoded(120, 90, quality=90)
    for content in (
        encoded(40, 30, "CMYK"),
        encoded(40, 30, kind="PNG"),
        whole[: len(whole) // 2],
        b"\xff\xd8 no picture",
    ):
        assert restarts.mark(content) == content


@needs_tool
def test_views_of_marked_jpegs_are_the_same(tmp_path):
    for number, (width, height) in enumerate([(500, 375), (333, 500), (400, 400), (130, 97), (1024, 768)]):
        content = encoded(width, height, quality=90)
        marked = restarts.mark(content)
        assert restarts.is_marked(marked)
        for channels in (1, 3):
            for view in (RandomResizedCrop(97, channels), CentreCrop(97, channels, 111)):
                for seed in range(20):
                    pixels = [view(each, np.random.default_rng((number, seed))) for each in (content, marked)]
                    np.testing.assert_array_equal(*pixels)


@needs_tool
def test_records_with_restart_markers(jpegs, records_folder, tmp_path):
    folder = prepare(jpegs, tmp_path / "marked", restart_markers=True)
    plain, marked = read_manifest(records_folder, "f"), read_manifest(folder, "f")
    assert marked.model_copy(update={"checksum": plain.checksum, "digest": plain.digest}) == plain
    assert marked.checksum != plain.checksum
    ours, others = Records(records_folder, "train"), Records(folder, "train")
    for number in range(len(ours)):
        one, other = ours[number], others[number]
        assert other.label == one.label
        assert restarts.is_marked(other.picture)
        np.testing.assert_array_equal(decoded(other.picture), decoded(one.picture))


@needs_tool
def test_pictures_without_markers_are_counted(tmp_path):
    for split in ("train", "val"):
        (tmp_path / "all" / split / "a").mkdir(parents=True)
        (tmp_path / "all" / split / "a" / "1.png").write_bytes(encoded(20, 20, kind="PNG"))
        (tmp_path / "all" / split / "a" / "2.jpg").write_bytes(encoded(20, 20))
        (tmp_path / "all" / split / "b").mkdir()
        (tmp_path / "all" / split / "b" / "3.jpg").write_bytes(encoded(24, 20))
    with pytest.warns(UserWarning, match="--restart_markers: 2 pictures have none and were kept as they came"):
        prepare(tmp_path / "all", tmp_path / "marked", restart_markers=True)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        prepare(tmp_path / "all", tmp_path / "plain")


def test_without_jpegtran_nothing_is_begun(jpegs, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(DataError, match="--restart_markers needs jpegtran, which is not installed; `apt-get install"):
        prepare(jpegs, tmp_path / "marked", restart_markers=True)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_of_tfds_is_not_written_anew(records_folder):
    with pytest.raises(DataError, match=r"--restart_markers: .* is made by TFDS and is looked through where it lies"):
        prepare(records_folder, None, restart_markers=True)
