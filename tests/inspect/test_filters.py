"""Image filters against SciPy and hand-computed values, and how kernels are read."""

import numpy as np
import pytest
import scipy.ndimage
import scipy.signal

from cnn_jax.config.parsing import ConfigError
from cnn_jax.inspect.filter_request import Sliding
from cnn_jax.inspect.filters import KERNELS, as_picture, feature_map, read_filters, respond


@pytest.fixture(scope="module")
def photo():
    return np.random.default_rng(1).integers(0, 256, (19, 23, 3), np.uint8)


@pytest.mark.parametrize("name", KERNELS)
@pytest.mark.parametrize(
    ("padding", "mode"), [("SAME", "constant"), ("REFLECT", "mirror"), ("REPLICATE", "nearest"), ("CIRCULAR", "wrap")]
)
@pytest.mark.parametrize("flip", [False, True])
def test_named_filters_are_scipys_correlation(photo, name, padding, mode, flip):
    computed = respond(photo, KERNELS[name], Sliding(padding, flip=flip))
    function = scipy.ndimage.convolve if flip else scipy.ndimage.correlate
    for channel in range(3):
        expected = function(photo[..., channel].astype(np.float64), KERNELS[name], mode=mode)
        # sums of at most 49 products of float32, each at most 2040
        np.testing.assert_allclose(computed[..., channel], expected, atol=2e-3)


def test_strides_and_an_asymmetric_kernel(photo):
    kernel = np.arange(6.0).reshape(2, 3)
    whole = scipy.signal.correlate2d(photo[..., 0].astype(np.float64), kernel, "valid")
    computed = respond(photo[..., :1], kernel, Sliding("VALID", (3, 2)))
    np.testing.assert_allclose(computed[..., 0], whole[::3, ::2], rtol=1e-6)
    flipped = scipy.signal.convolve2d(photo[..., 0].astype(np.float64), kernel, "valid")
    np.testing.assert_allclose(respond(photo[..., :1], kernel, Sliding("VALID", flip=True))[..., 0], flipped, rtol=1e-6)
    apart = np.zeros((3, 5))
    apart[::2, ::2] = kernel
    dilated = scipy.signal.correlate2d(photo[..., 0].astype(np.float64), apart, "valid")
    np.testing.assert_allclose(
        respond(photo[..., :1], kernel, Sliding("VALID", dilation=2))[..., 0], dilated, rtol=1e-6
    )


def test_the_lectures_example():
    # 3x3 weights [[1,0,1],[0,1,0],[1,0,1]] on the corner of the lecture's picture: 18 + 51 + 121 + 35 + 204
    corner = np.array([[18, 54, 51], [55, 121, 75], [35, 24, 204]], np.float32)[..., None]
    kernel = np.array([[1, 0, 1], [0, 1, 0], [1, 0, 1]], np.float32)
    assert respond(corner, kernel, Sliding("VALID")).tolist() == [[[429]]]


def test_the_meaning_of_each_named_filter():
    flat = np.full((9, 9, 1), 100, np.uint8)
    inside = {name: float(respond(flat, kernel)[4, 4, 0]) for name, kernel in KERNELS.items()}
    sums = {"vertical_line": 700, "horizontal_line": 700, "outline": 0, "laplacian": 0}
    sums |= {f"sobel_{side}": 0 for side in ("left", "right", "top", "bottom")}
    assert inside == pytest.approx(dict.fromkeys(KERNELS, 100) | sums, abs=1e-3)
    bright_left = np.repeat([[200, 200, 200, 0, 0, 0]], 5, axis=0)[..., None].astype(np.uint8)
    assert respond(bright_left, KERNELS["sobel_left"])[2, 2:4, 0].tolist() == [800, 800]
    assert respond(bright_left, KERNELS["sobel_right"])[2, 2:4, 0].tolist() == [-800, -800]
    bright_top = bright_left.transpose(1, 0, 2)
    assert respond(bright_top, KERNELS["sobel_top"])[2:4, 2, 0].tolist() == [800, 800]
    assert respond(bright_top, KERNELS["sobel_bottom"])[2:4, 2, 0].tolist() == [-800, -800]


def test_pictures_and_maps():
    response = np.array([[[-3.0, 260.0, 127.5], [0.4, 0.6, 128.5]]], np.float32)
    assert as_picture(response).tolist() == [[[0, 255, 128], [0, 1, 128]]]  # halves go to the even number
    assert feature_map(response).tolist() == [[pytest.approx((-3 + 260 + 127.5) / 3), pytest.approx(129.5 / 3)]]


def test_kernels_are_read(tmp_path):
    matrix = [[1.0, 0.0, -1.0], [2.0, 0.5, -2.0]]
    np.save(tmp_path / "k.npy", np.array(matrix))
    (tmp_path / "k.csv").write_text("\ufeff1,0,-1\n2,0.5,-2\n\n", encoding="utf-8")
    (tmp_path / "k.txt").write_text("1 0 -1\r\n2 .5 -2\r\n")
    files = [str(tmp_path / f"k.{end}") for end in ("npy", "csv", "txt")]
    read = read_filters(["[[1, 0, -1], [2, .5, -2]]", "1 0 -1; 2 .5 -2", *files])
    assert [each.name for each in read] == [f"kernel{number}" for number in range(1, 6)]
    assert all(each.weights.tolist() == matrix for each in read)
    assert [each.name for each in read_filters(["Sobel-Left", "outline", "OUTLINE"])] == ["sobel_left", "outline"]
    assert [each.name for each in read_filters(["all"])] == list(KERNELS)
    assert read_filters(["5"])[0].weights.tolist() == [[5]]


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("outlin", "did you mean 'outline'"),
        ("nothing.csv", "is neither a file nor a matrix"),
        ("[[1, 2], [3]]", "the same number in each row"),
        ("[[1, 'a']]", "must be numbers"),
        ("[[1, __import__('os')]]", "is not a matrix"),
        ("[" * 5000, "is not a matrix"),
        ("[1, 2]", r"shape \(2,\)"),
        ("[[]]", r"shape \(1, 0\)"),
        ("1 2; 3", "the same number in each row"),
        ("1 2e999", "not finite"),
        ("[[1e39]]", "not finite"),
        ("1 -", "is not a matrix of numbers"),
        ("[[" + ",".join("1" * 300) + "]]", "at most 255"),
        ("", "is neither a file nor a matrix"),
        ("a\0b", "is neither a file nor a matrix"),
    ],
)
def test_what_is_no_kernel_is_refused(word, message):
    with pytest.raises(ConfigError, match=message) as raised:
        read_filters([word])
    assert len(str(raised.value)) < 300  # however long the word


def test_damaged_files_are_refused(tmp_path):
    (tmp_path / "k.npy").write_bytes(b"\x93NUMPY\x01")
    (tmp_path / "k.csv").write_bytes(b"\xff\xfe\x00")
    np.save(tmp_path / "o.npy", np.array([[object()]]), allow_pickle=True)
    for name in ("k.npy", "k.csv", "o.npy"):
        with pytest.raises(ConfigError, match=f"{name}: "):
            read_filters([str(tmp_path / name)])


def test_a_file_that_announces_more_numbers_than_memory_is_refused(tmp_path):
    header = str({"descr": "<f8", "fortran_order": False, "shape": (10**7, 10**8)}).ljust(117).encode() + b"\n"
    (tmp_path / "k.npy").write_bytes(b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header)
    with pytest.raises(ConfigError, match="has too many numbers, expected at most 255 a side"):
        read_filters([str(tmp_path / "k.npy")])
