"""Folders of pictures, whole and damaged."""

import numpy as np
import pytest
from PIL import Image

from cnn_jax import config as cfg
from cnn_jax.config import ConfigError, parse
from cnn_jax.data import DataError, load
from cnn_jax.data.errors import UnreadableRecordError
from cnn_jax.data.host.crops import WholePicture
from cnn_jax.data.host.picture import fit
from cnn_jax.data.sources import memory, picture_files
from cnn_jax.data.sources.examples import decode
from cnn_jax.data.sources.image_folder import find_pictures


def picture(path, colour, size=(6, 4), mode="RGB"):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, colour).save(path)


def read_folder(folder, field, names, image_shape):
    """All pictures of a folder, and what was passed over."""
    found, passed_over = find_pictures(folder, field, names)
    return decode(found, np.arange(len(found)), WholePicture(image_shape), field), passed_over


@pytest.fixture
def folder(tmp_path):
    for name, colour in (("red", (255, 0, 0)), ("blue", (0, 0, 255))):
        for number in range(5):
            picture(tmp_path / name / f"{number}.png", colour)
    return tmp_path


def test_classes_are_the_subfolders_in_order(folder):
    split, passed_over = read_folder(folder, "f", ("blue", "red"), (4, 6, 3))
    assert passed_over == ()
    assert split.labels.tolist() == [0] * 5 + [1] * 5
    assert split.images[0, 0, 0].tolist() == [0, 0, 255]
    assert split.images[9, 3, 5].tolist() == [255, 0, 0]


def test_pictures_are_brought_to_size_and_colour(tmp_path):
    picture(tmp_path / "a.jpg", (255, 0, 0), size=(12, 8))
    pixels, changes = fit(tmp_path / "a.jpg", (4, 6, 1))
    assert pixels.shape == (4, 6, 1)
    assert abs(int(pixels.mean()) - 76) <= 1  # the luma of red is 0.299
    assert changes == "RGB to L, resized from 12x8 to 6x4"


def test_transparency_is_laid_on_white(tmp_path):
    picture(tmp_path / "a.png", (0, 0, 0, 0), mode="RGBA")
    pixels, changes = fit(tmp_path / "a.png", (4, 6, 3))
    assert (pixels == 255).all()
    assert changes == "laid on white"


def test_a_share_of_each_class_is_split_off_for_testing(folder):
    config = cfg.ImageFolder(train_dir=str(folder), height=4, width=6, test_fraction=0.4)
    dataset = load(config, seed=0)
    assert np.bincount(dataset.train.labels).tolist() == [3, 3]
    assert np.bincount(dataset.test.labels).tolist() == [2, 2]
    assert dataset.class_names == ("blue", "red")


def test_other_files_are_passed_over_with_a_warning(folder):
    (folder / "red" / "notes.txt").write_text("x")
    split, passed_over = read_folder(folder, "f", ("blue", "red"), (4, 6, 3))
    assert len(split) == 10
    assert passed_over == (f"f: passed over in {folder}: 1 file that is no picture ({folder}/red/notes.txt)",)


def test_damaged_folders(folder, tmp_path):
    config = cfg.ImageFolder(train_dir=str(folder), test_dir=str(folder / "none"))
    with pytest.raises(DataError, match=r"config.data.test_dir: there is no folder .*none"):
        load(config, 0)
    whole = (folder / "red" / "0.png").read_bytes()
    (folder / "red" / "0.png").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match=r"config.data.train_dir: .*red/0.png cannot be read as a picture"):
        load(cfg.ImageFolder(train_dir=str(folder)), 0)
    (folder / "red" / "0.png").write_bytes(whole)
    (folder / "green").mkdir()
    with pytest.raises(DataError, match=r"the class folder .*green has no pictures"):
        load(cfg.ImageFolder(train_dir=str(folder)), 0)
    with pytest.raises(DataError, match=r"f: .* has the classes green, which the training images lack"):
        read_folder(folder, "f", ("blue", "red"), (4, 6, 3))
    (folder / "flat").mkdir()
    with pytest.raises(DataError, match="has no subfolders, expected one for each class"):
        load(cfg.ImageFolder(train_dir=str(folder / "flat")), 0)


def test_folders_of_other_classes_than_announced(folder):
    announced = cfg.ImageFolder(train_dir=str(folder), test_fraction=0.4, height=4, width=6, classes=2)
    assert load(announced, seed=0).num_classes == 2
    with pytest.raises(DataError, match=r"has 2 class folders, and config.data.classes=3"):
        load(announced.model_copy(update={"classes": 3}), seed=0)


def test_every_format_is_read(tmp_path):
    suffixes = ("png", "jpg", "JPEG", "jfif", "jpe", "gif", "bmp", "webp", "tif", "tiff")
    for name, colour in (("dark", (40, 40, 40)), ("light", (200, 200, 200))):
        for suffix in suffixes:
            picture(tmp_path / name / f"a.{suffix}", colour)
    split, passed_over = read_folder(tmp_path, "f", ("dark", "light"), (4, 6, 1))
    assert passed_over == ()
    assert split.labels.tolist() == [0] * 10 + [1] * 10
    assert np.abs(split.images[:10].astype(int) - 40).max() <= 1
    assert np.abs(split.images[10:].astype(int) - 200).max() <= 1


def test_linked_class_folders_and_pictures(tmp_path):
    picture(tmp_path / "store" / "a.png", (1, 1, 1))
    picture(tmp_path / "store" / "b.png", (2, 2, 2))
    picture(tmp_path / "data" / "cat" / "c.png", (3, 3, 3))
    (tmp_path / "data" / "cat" / "d.png").symlink_to(tmp_path / "store" / "a.png")
    (tmp_path / "data" / "dog").symlink_to(tmp_path / "store")
    split, passed_over = read_folder(tmp_path / "data", "f", ("cat", "dog"), (4, 6, 1))
    assert split.images[:, 0, 0, 0].tolist() == [3, 1, 1, 2]
    assert split.labels.tolist() == [0, 0, 1, 1]
    assert passed_over == ()


def test_a_class_folder_of_hidden_pictures_alone(tmp_path):
    picture(tmp_path / "cat" / "a.png", (1, 1, 1))
    picture(tmp_path / "dog" / "._a.png", (1, 1, 1))
    with pytest.raises(DataError, match=r"dog has no pictures \(.*\); 1 hidden file or folder \(.*\._a.png\)"):
        read_folder(tmp_path, "f", ("cat", "dog"), (4, 6, 1))


def test_what_lies_beside_the_class_folders_is_told(folder):
    picture(folder / "loose.png", (1, 1, 1))
    picture(folder / "LOOSE.JPG", (1, 1, 1))
    (folder / "labels.csv").write_text("x")
    (folder / "green").symlink_to(folder / "nowhere")
    split, passed_over = read_folder(folder, "f", ("blue", "red"), (4, 6, 3))
    assert len(split) == 10
    (warning,) = passed_over
    assert f"2 pictures in no class folder ({folder}/LOOSE.JPG first)" in warning
    assert f"1 file that is no picture ({folder}/labels.csv)" in warning
    assert f"1 broken link or special file ({folder}/green)" in warning


def test_class_folders_within_a_folder_of_an_archive(folder, tmp_path_factory):
    outer = tmp_path_factory.mktemp("unpacked")
    (outer / "data").symlink_to(folder)
    expected = f"{outer} has a single class folder, data, expected at least two; name {outer}/data, which has 2 folders"
    with pytest.raises(DataError, match=f"config.data.train_dir: {expected}"):
        load(cfg.ImageFolder(train_dir=str(outer)), 0)
    with pytest.raises(DataError, match=f"--source: {expected}"):
        picture_files.find(outer, 0.2)


def test_an_archive_is_no_folder(tmp_path):
    (tmp_path / "pictures.zip").write_bytes(b"PK")
    with pytest.raises(DataError, match=r"pictures.zip is a file, expected a folder; if it is an archive, unpack it"):
        load(cfg.ImageFolder(train_dir=str(tmp_path / "pictures.zip")), 0)
    with pytest.raises(DataError, match=r"--source: .*pictures.zip is a file, expected a folder"):
        picture_files.find(tmp_path / "pictures.zip", 0.2)


@pytest.mark.parametrize(
    ("train", "test", "how"),
    [
        ("caf\u00e9", "cafe\u0301", r"by the bytes that Unicode has for accents \(NFC, NFD\)"),
        ("cafe\u0301", "caf\u00e9", r"by the bytes that Unicode has for accents \(NFC, NFD\)"),
        ("Cat", "cat", "by case"),
    ],
)
def test_class_folders_that_differ_in_writing_alone(tmp_path, train, test, how):
    for split, name in (("train", train), ("test", test)):
        picture(tmp_path / split / name / "a.png", (1, 1, 1))
        picture(tmp_path / split / "dog" / "a.png", (2, 2, 2))
    config = cfg.ImageFolder(train_dir=str(tmp_path / "train"), test_dir=str(tmp_path / "test"))
    with pytest.raises(DataError, match=f"; {test} differs from {train} {how} alone: rename the folder"):
        load(config, 0)


@pytest.fixture
def noise(tmp_path):
    """Pictures of two classes, 12 and 8, of other sizes and colours than asked for."""
    draws = np.random.default_rng(0)
    for name, count in (("a", 12), ("b", 8)):
        for number in range(count):
            (tmp_path / "noise" / name).mkdir(parents=True, exist_ok=True)
            pixels = draws.integers(0, 256, (5 + number % 3, 7, 3)).astype(np.uint8)
            Image.fromarray(pixels).save(tmp_path / "noise" / name / f"{number}.png")
    return tmp_path / "noise"


def section(folder, **fields):
    return cfg.ImageFolder(train_dir=str(folder), height=4, width=6, test_fraction=0.25, workers=0, **fields)


def by_pixels(split):
    return sorted((image.tobytes(), label) for image, label in zip(split.images, split.labels.tolist(), strict=True))


def test_memory_and_files_give_the_same_batches_and_the_devices_the_same_splits(noise):
    fields = {"validation_fraction": 0.2, "train_examples": 9, "test_examples": 4}
    loaded = {where: load(section(noise, memory=where, **fields), 3) for where in ("device", "host", "stream")}
    assert len({each.split_checksum for each in loaded.values()}) == 1
    device = loaded["device"]
    for name in ("train", "validation", "test"):
        expected = getattr(device, name)
        for where in ("host", "stream"):
            found = getattr(loaded[where], name)
            assert by_pixels(found.some(len(found))) == by_pixels(expected)
    batches = [[loaded[where].train.in_batches(4).batch(step) for step in range(6)] for where in ("host", "stream")]
    for one, other in zip(*batches, strict=True):
        for array, twin in zip(one, other, strict=True):
            np.testing.assert_array_equal(array, twin)
    assert any(not np.array_equal(batches[0][0].images, batch.images) for batch in batches[0][3:]), "another epoch"
    assert "config.data.memory=stream" in loaded["stream"].placement


def test_what_does_not_fit_is_streamed(noise, monkeypatch):
    size = 20 * 4 * 6 * 3
    monkeypatch.setattr(memory, "_ON_DEVICES", size - 1)
    monkeypatch.setattr(memory.host_memory, "free_bytes", lambda: 2 * size - 1)
    streamed = load(section(noise), 0)
    assert "in their files" in streamed.placement
    monkeypatch.setattr(memory.host_memory, "free_bytes", lambda: 2 * size)
    held = load(section(noise), 0)
    assert "in the host's memory (config.data.memory=auto)" in held.placement
    assert held.checksum == streamed.checksum, "a run may go on where more or less memory is free"
    moved = load(section(noise.rename(noise.parent / "moved")), 0)
    assert moved.checksum == held.checksum
    picture(noise.parent / "moved" / "a" / "3.png", (9, 9, 9))
    assert load(section(noise.parent / "moved"), 0).checksum != held.checksum
    shifted = load(section(noise.parent / "moved", test_shift=1), 0)  # moves images, which must be in memory
    assert "in the host's memory" in shifted.placement
    monkeypatch.setattr(memory.host_memory, "free_bytes", lambda: 10)
    with pytest.raises(DataError, match=r"config.data.train_dir: the pictures of .*moved: the images take .* are free"):
        load(section(noise.parent / "moved", memory="device"), 0)


def test_a_damaged_file_is_named_when_its_batch_is_made(noise):
    (noise / "b" / "5.png").write_bytes(b"x")
    with pytest.raises(DataError, match=r"config.data.train_dir: .*b/5.png cannot be read as a picture"):
        load(section(noise), 0)
    streamed = load(section(noise, memory="stream", test_examples=1, validation_fraction=0.0), 0)
    with pytest.raises(UnreadableRecordError, match=r"b/5.png cannot be decoded: it is none of PNG"):
        (streamed.train.some(99), streamed.test.some(99))


def test_an_empty_file_is_refused_before_anything_starts(noise):
    (noise / "b" / "5.png").write_bytes(b"")
    with pytest.raises(DataError, match=r"config.data: .*b/5.png is empty, expected a picture"):
        load(section(noise, memory="stream"), 0)


def test_moved_test_images_are_not_streamed():
    with pytest.raises(ConfigError, match=r"config.data.test_shift=2 moves images that lie in memory"):
        parse({"data": {"name": "image_folder", "train_dir": "a", "memory": "stream", "test_shift": 2}})
