"""`launch.py filter`: the files it writes, and what it refuses."""

import numpy as np
import pytest
from PIL import Image, ImageFilter

from cnn_jax.cli import main as launch
from cnn_jax.inspect import filter_pictures


@pytest.fixture
def photo(tmp_path):
    pixels = np.random.default_rng(2).integers(0, 256, (20, 31, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "photo.png")
    return tmp_path / "photo.png"


def test_pictures_are_pillows(photo, tmp_path, capsys):
    words = [
        "--filter=sharpen",
        "--filter=-1 -1 -1; -1 9 -1; -1 -1 1",
        "--padding=VALID",
        f"--target={tmp_path / 'out'}",
    ]
    assert launch.main(["filter", f"--image={photo}", *words]) == 0
    names = ["sharpen.png", "sharpen-map.png", "kernel1.png", "kernel1-map.png", "sheet.png"]
    assert capsys.readouterr().out.split() == [str(tmp_path / "out" / name) for name in names]
    with Image.open(photo) as opened:
        for name, weights in (
            ("sharpen", [0, -1, 0, -1, 5, -1, 0, -1, 0]),
            ("kernel1", [-1] * 4 + [9] + [-1] * 3 + [1]),
        ):
            # Pillow takes a kernel's rows from the lowest to the highest, and keeps the border.
            rows = np.flipud(np.reshape(weights, (3, 3))).ravel().tolist()
            expected = opened.filter(ImageFilter.Kernel((3, 3), rows, 1))
            with Image.open(tmp_path / "out" / f"{name}.png") as written:
                assert np.array_equal(np.asarray(written), np.asarray(expected)[1:-1, 1:-1]), name


def test_grey_and_orientation(photo, tmp_path):
    with Image.open(photo) as opened:
        exif = opened.getexif()
        exif[0x0112] = 6  # turned by a quarter: 31x20 is shown as 20x31
        opened.save(tmp_path / "turned.png", exif=exif)
        expected = np.asarray(opened.convert("L").transpose(Image.Transpose.ROTATE_270))
    words = ["--filter=identity", "--grey", f"--target={tmp_path / 'out'}"]
    assert launch.main(["filter", f"--image={tmp_path / 'turned.png'}", *words]) == 0
    with Image.open(tmp_path / "out" / "identity.png") as written:
        assert written.mode == "L"
        assert np.array_equal(np.asarray(written), expected)


def test_only_its_own_files_are_replaced(photo, tmp_path, capsys):
    out = tmp_path / "out"
    words = ["filter", f"--image={photo}", "--filter=outline", f"--target={out}"]
    assert launch.main(words) == 0
    assert launch.main(words) == 0
    Image.new("L", (4, 4)).save(out / "outline-map.png")
    before = {file.name: file.read_bytes() for file in out.iterdir()}
    assert launch.main(words) == 2
    assert "outline-map.png would be overwritten" in capsys.readouterr().err
    assert {file.name: file.read_bytes() for file in out.iterdir()} == before


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "--filter: filter needs it"),
        (["--filter=outlin"], "did you mean 'outline'"),
        (["--filter=outline", "--padding=SOME"], "--padding: got 'SOME', expected VALID, SAME"),
        (["--filter=outline", "--padding=-1"], "--padding: got '-1'"),
        (["--filter=outline", "--strides=0"], "--strides: got '0', expected an integer from 1"),
        (["--filter=outline", "--strides=1000000"], "--strides: got '1000000', expected an integer from 1 to "),
        (["--filter=outline", "--dilation=(1,10000)"], "--dilation: got '(1,10000)', expected an integer from 1 to "),
        (["--filter=1e38 1e38"], "--filter: kernel1: its numbers are so large that pixels become infinite"),
        (["--filter=outline", "--strides=1.5"], "--strides: got '1.5'"),
        (["--filter=outline", "--dilation=(1,2,3)"], "--dilation: got"),
        (["--filter=outline", "--dilation=40", "--padding=VALID"], "exceeds its input of 20"),
        (["--filter=outline", "--workdir=x"], "--workdir: not a flag of filter"),
    ],
)
def test_bad_flags_are_refused(photo, tmp_path, capsys, words, message):
    assert launch.main(["filter", f"--image={photo}", f"--target={tmp_path / 'out'}", *words]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_bad_files_are_refused(photo, tmp_path, capsys):
    (tmp_path / "text.png").write_text("no picture")
    for image in ("text.png", "missing.png", "."):
        words = ["filter", f"--image={tmp_path / image}", "--filter=blur", f"--target={tmp_path / 'out'}"]
        assert launch.main(words) == 2
        assert f"{tmp_path / image} cannot be read as a picture".replace("/.", "") in capsys.readouterr().err
    assert launch.main(["filter", f"--image={photo}", "--filter=blur", f"--target={photo}"]) == 2
    assert "is a file, expected a folder" in capsys.readouterr().err


def test_large_maps_are_drawn_as_means_of_blocks():
    values = np.arange(2500.0 * 3).reshape(2500, 3)
    smaller = filter_pictures._block_means(values)
    assert smaller.shape == (834, 1)  # blocks of 3x3, the last of one row
    assert smaller[0, 0] == 4
    assert smaller[-1, 0] == 2499 * 3 + 1


def test_an_array_of_many_channels(tmp_path):
    """The response of each channel is drawn as a map; the picture is the mean of the channels."""
    image = np.random.default_rng(1).integers(0, 2**16, (12, 9, 5), np.uint16)
    np.save(tmp_path / "bands.npy", image)
    words = ["--filter=identity", f"--target={tmp_path / 'out'}"]
    assert launch.main(["filter", f"--image={tmp_path / 'bands.npy'}", *words]) == 0
    with Image.open(tmp_path / "out" / "identity.png") as written:
        expected = np.rint(np.rint(image / 257).mean(axis=2))
        assert np.abs(np.asarray(written).astype(int) - expected).max() <= 1
    with Image.open(tmp_path / "out" / "identity-map.png") as drawn:
        assert drawn.height > drawn.width / 2, "two rows of maps"


def test_arrays_without_a_range_are_refused(tmp_path, capsys):
    np.save(tmp_path / "a.npy", np.zeros((4, 4, 5), np.float32))
    assert launch.main(["filter", f"--image={tmp_path / 'a.npy'}", "--filter=outline"]) == 2
    assert "do not say what is black and what is white" in capsys.readouterr().err
