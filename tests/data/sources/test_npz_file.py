"""Arrays of NumPy, written by NumPy: pixels by hand, every layout, type and damage."""

import io
import re
import zipfile

import numpy as np
import pytest

from cnn_jax import config as cfg
from cnn_jax import data
from cnn_jax.data.device import pipeline
from cnn_jax.data.errors import DataError
from cnn_jax.data.sources import npz_file
from cnn_jax.data.sources.declared import declared, pixel_type


def arrays(pixels=np.uint8, channels=None, count=6, top=255):
    """Images and labels in Keras's layout."""
    rng = np.random.default_rng(3)
    shape = (4, 5) if channels is None else (4, 5, channels)
    found = {}
    for split, images in (("train", count), ("test", 3)):
        values = rng.uniform(0, top, (images, *shape))
        found[f"x_{split}"] = values.astype(pixels)
        found[f"y_{split}"] = np.arange(images) % 2
    return found


def written(path, contents, save=np.savez):
    save(path, **contents)
    return path


def read(path, value_range=None):
    splits = npz_file.read_npz(path, value_range)
    return splits["train"], splits.get("validation"), splits["test"]


def refusal(path, value_range=None):
    with pytest.raises(DataError) as caught:
        read(path, value_range)
    assert str(path) in str(caught.value)
    assert "config.data.file" in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
@pytest.mark.parametrize("channels", [None, 1, 3, 4, 13])
def test_bytes_stay_as_they_are(tmp_path, channels, save):
    given = arrays(channels=channels)
    train, validation, test = read(written(tmp_path / "a.npz", given, save))
    assert validation is None
    assert train.images.dtype == np.uint8
    assert train.image_shape == (4, 5, channels or 1)
    np.testing.assert_array_equal(train.images.reshape(given["x_train"].shape), given["x_train"])
    np.testing.assert_array_equal(test.images.reshape(given["x_test"].shape), given["x_test"])
    np.testing.assert_array_equal(train.labels, [0, 1, 0, 1, 0, 1])


def test_medmnist_with_its_own_validation_images(tmp_path):
    given = arrays(channels=3)
    names = {"x_train": "train_images", "y_train": "train_labels", "x_test": "test_images", "y_test": "test_labels"}
    contents = {new: given[old] for old, new in names.items()}
    contents |= {"val_images": given["x_test"][:2] // 2, "val_labels": np.array([[1], [0]], np.uint8)}
    contents["train_labels"] = contents["train_labels"][:, None].astype(np.uint8)  # MedMNIST's are [n, 1]
    path = written(tmp_path / "pathmnist.npz", contents)
    loaded = data.load(cfg.Npz(file=str(path)), 0)
    np.testing.assert_array_equal(loaded.validation.images, given["x_test"][:2] // 2)
    np.testing.assert_array_equal(loaded.validation.labels, [1, 0])
    assert (len(loaded.train), len(loaded.test)) == (6, 3)
    with pytest.raises(DataError, match="2 validation images of their own; set it to 0"):
        data.load(cfg.Npz(file=str(path), validation_fraction=0.5), 0)


def test_sixteen_bits_keep_their_precision(tmp_path):
    given = arrays(np.dtype(">u2"), channels=4, top=65535)
    train, *_ = read(written(tmp_path / "a.npz", given))
    assert train.images.dtype == np.float32
    np.testing.assert_allclose(train.images, given["x_train"].astype(np.float64) * (255 / 65535), rtol=1e-7)


@pytest.mark.parametrize("order", ["C", "F"])
def test_a_stated_range_is_black_to_white(tmp_path, order):
    given = arrays(np.float32, channels=2, top=1)
    given["x_train"] = np.asarray(given["x_train"] * 6 - 2, np.float64, order=order)  # -2 to 4
    given["x_test"] = np.full((3, 4, 5, 2), 1.0)
    given["x_train"][0, 0, 0] = -2, 4
    train, _, test = read(written(tmp_path / "a.npz", given), (-2, 4))
    np.testing.assert_array_equal(train.images[0, 0, 0], [0, 255])
    np.testing.assert_allclose(train.images, (given["x_train"] + 2) / 6 * 255, rtol=1e-6, atol=1e-5)
    np.testing.assert_array_equal(test.images, 127.5)


def test_signed_whole_numbers_need_a_range(tmp_path):
    given = arrays(np.int64)
    path = written(tmp_path / "a.npz", given)
    assert "int64" in refusal(path)
    assert "config.data.value_range" in refusal(path)
    np.testing.assert_allclose(read(path, (0, 255))[0].images[..., 0], given["x_train"])


def test_values_outside_the_range_are_named(tmp_path):
    given = arrays(np.float32, top=1)
    given["x_test"][2, 1, 1] = 1.5
    assert "image 2 has the value 1.5, which is not within 0 to 1" in refusal(
        written(tmp_path / "a.npz", given), (0, 1)
    )
    given["x_test"][2, 1, 1] = np.nan
    assert "image 2 has the value nan" in refusal(written(tmp_path / "b.npz", given), (0, 1))


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"x_test": None}, "lacks x_test; it has the arrays x_train, y_test, y_train"),
        ({"x_train": np.zeros((6, 3, 32, 32), np.uint8)}, r"numpy.moveaxis\(array, 1, -1\)"),
        ({"x_train": np.zeros((6, 20), np.uint8)}, r"shape \(6, 20\)"),
        ({"x_train": np.zeros((0, 4, 5), np.uint8)}, r"shape \(0, 4, 5\)"),
        ({"x_train": np.zeros((6, 4, 5), bool)}, "values of the type bool"),
        ({"y_train": np.eye(6)}, r"numpy.argmax\(..., axis=1\)"),
        ({"y_train": np.array(["cat"] * 6)}, "config.data.class_names"),
        ({"y_train": np.array([0, 1, -1, 0, 1, 0])}, "label -1 of image 2"),
        ({"y_train": np.array([0, 1, 0.5, 0, 1, 0])}, "label 0.5 of image 2"),
        ({"y_train": np.zeros(5, int)}, "6 images in x_train and 5 labels"),
        ({"x_test": np.zeros((3, 4, 6), np.uint8)}, "4x5x1 uint8 pixels in x_train and of 4x6x1"),
        ({"x_test": np.zeros((3, 4, 5), np.uint16)}, "of 4x5x1 float32 pixels in x_test"),
        ({"x_train": np.array([None] * 6, object)}, "holds Python objects, which could run code"),
        ({"x_val": np.zeros((3, 4, 5), np.uint8)}, "one of x_val and y_val alone"),
    ],
)
def test_what_is_no_data_set_is_refused(tmp_path, changes, expected):
    contents = {name: array for name, array in (arrays() | changes).items() if array is not None}
    assert re.search(expected, refusal(written(tmp_path / "a.npz", contents)))


def test_other_arrays_are_listed(tmp_path):
    assert "has the arrays images, labels; expected x_train" in refusal(
        written(tmp_path / "a.npz", {"images": np.zeros(3), "labels": np.zeros(3)})
    )


def test_damaged_files(tmp_path):
    whole = io.BytesIO()
    np.savez_compressed(whole, **arrays())
    (tmp_path / "cut.npz").write_bytes(whole.getvalue()[:-100])
    assert "damaged" in refusal(tmp_path / "cut.npz")
    content = bytearray(whole.getvalue())
    content[120] ^= 16  # in the compressed values
    (tmp_path / "bit.npz").write_bytes(bytes(content))
    assert "damaged" in refusal(tmp_path / "bit.npz")
    assert "there is no file" in refusal(tmp_path / "none.npz")
    with zipfile.ZipFile(tmp_path / "huge.npz", "w") as archive:
        header = io.BytesIO()
        np.lib.format.write_array_header_1_0(header, {"shape": (2**40, 4, 5), "fortran_order": False, "descr": "|u1"})
        for name in arrays():
            archive.writestr(f"{name}.npy", header.getvalue())
    assert "of memory, and" in refusal(tmp_path / "huge.npz")


def test_shape_and_classes_are_known_before(tmp_path):
    path = written(tmp_path / "a.npz", arrays(channels=13))
    assert declared(cfg.Npz(file=str(path), class_names=("a", "b"))) == ((4, 5, 13), 2)
    assert declared(cfg.Npz(file=str(tmp_path / "later.npz"))) == (None, None)
    assert pixel_type(cfg.Npz(file=str(path))) == "uint8"
    assert pixel_type(cfg.Npz(file=str(path), value_range=(0, 100))) == "float32"


def test_the_constants_of_float_pixels(tmp_path):
    given = arrays(np.uint16, channels=4, top=300)  # dark: a standard deviation below 1 of 255
    given["x_train"][..., 3] = 7
    loaded = data.load(cfg.Npz(file=str(written(tmp_path / "a.npz", given)), normalize="standardize"), 0)
    assert any("config.data.value_range" in warning for warning in loaded.warnings)
    constants = pipeline.normalization(cfg.Npz(file="a", normalize="standardize"), loaded.train)
    pixels = given["x_train"].reshape(-1, 4) / 257
    np.testing.assert_allclose(constants.mean, pixels.mean(axis=0), rtol=1e-6)
    np.testing.assert_allclose(constants.std[:3], pixels.std(axis=0)[:3], rtol=1e-5)
    assert constants.std[3] == 1  # constant


def test_one_image_of_a_npy_file(tmp_path):
    given = arrays(np.uint16, channels=4, top=65535)["x_train"]
    np.save(tmp_path / "one.npy", given[0])
    np.save(tmp_path / "fortran.npy", np.asfortranarray(given[0]))
    for name in ("one.npy", "fortran.npy"):
        image = npz_file.read_image(tmp_path / name, (4, 5, 4), None, "float32")
        np.testing.assert_allclose(image, given[0] / 257, rtol=1e-6)
    with pytest.raises(DataError, match=r"shape \(4, 5, 4\), expected \(4, 5, 3\)"):
        npz_file.read_image(tmp_path / "one.npy", (4, 5, 3), None, "float32")
    (tmp_path / "bad.npy").write_bytes(b"no array")
    with pytest.raises(DataError, match="no NumPy array"):
        npz_file.read_image(tmp_path / "bad.npy", (4, 5, 4), None, "float32")
