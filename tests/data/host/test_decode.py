"""Parts of pictures, beside Pillow's decoding of the whole."""

import io

import numpy as np
import pytest
from PIL import Image, ImageOps

from cnn_jax.data.host import decode
from cnn_jax.data.host.decode import Picture
from cnn_jax.data.host.picture import UnreadablePictureError
from cnn_jax.data.host.resize import Box, exactly
from scripts.imagenet_shaped import picture

# Between 4:4:4 and 4:2:0, and with restart markers, which make tiles or not.
JPEGS = {
    "4:4:4": {"subsampling": 0},
    "4:2:2": {"subsampling": 1},
    "4:2:0": {"subsampling": 2},
    "restarts": {"subsampling": 2, "restart_marker_rows": 1},
    "tiles": {"subsampling": 2, "restart_marker_blocks": 2},
    "tiles, 4:2:2": {"subsampling": 1, "restart_marker_blocks": 1},
    "tiles, 4:4:4": {"subsampling": 0, "restart_marker_blocks": 5},
    "tiles of two rows": {"subsampling": 2, "restart_marker_rows": 2},
    "progressive": {"subsampling": 2, "progressive": True},
    "optimized": {"subsampling": 2, "optimize": True},
}


def pixels(width=120, height=90):
    return picture(width, height, (1.0, 0.8, 0.6), np.random.default_rng(3))


def encoded(array, kind="JPEG", **options):
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, kind, **options)
    return buffer.getvalue()


def whole(content, mode="RGB"):
    return Image.open(io.BytesIO(content)).convert(mode)


@pytest.mark.parametrize("kind", JPEGS)
def test_a_part_has_the_pixels_of_the_whole_picture_s_part(kind):
    content = encoded(pixels(), quality=90, **JPEGS[kind])
    draws = np.random.default_rng(0)
    for bottom in range(5, 91):
        left, right = sorted(draws.choice(121, 2, replace=False).tolist())
        box = Box(left, max(bottom - 63, 0), right, bottom)  # below twice the side: decoded in full
        expected = whole(content).resize((32, 32), Image.Resampling.BILINEAR, box=box)
        np.testing.assert_array_equal(Picture(content).part(box, 32, 3, exactly), np.asarray(expected))


@pytest.mark.parametrize("kind", [*JPEGS, "RGB", "trailing"])
@pytest.mark.parametrize("mode", ["RGB", "L"])
@pytest.mark.parametrize("stored", ["RGB", "L", "CMYK"])
@pytest.mark.parametrize(("width", "height"), [(120, 90), (123, 97), (49, 33)])
def test_every_jpeg_has_pillow_s_pixels(kind, mode, stored, width, height, monkeypatch):
    buffer = io.BytesIO()
    options = JPEGS.get(kind, {}) | ({"keep_rgb": True} if kind == "RGB" else {})
    Image.fromarray(pixels(width, height)).convert(stored).save(buffer, "JPEG", quality=90, **options)
    content = buffer.getvalue() + b"\0" * (70 if kind == "trailing" else 0)
    box, channels = Box(1.5, 2, width - 3, height - 2.5), {"RGB": 3, "L": 1}[mode]
    sides = (5, 9, 20, 64)  # an eighth to the whole size
    got = {side: Picture(content).part(box, side, channels, exactly) for side in sides}
    monkeypatch.setattr(decode, "_is_plain", lambda *_: False)
    for side, part in got.items():
        np.testing.assert_array_equal(part, Picture(content).part(box, side, channels, exactly))


def test_plain_jpegs_are_not_left_to_pillow(monkeypatch):
    monkeypatch.setattr(decode, "_decoded_by_pillow", None)
    for kind in set(JPEGS) - {"progressive"}:
        Picture(encoded(pixels(), **JPEGS[kind])).part(Box(0, 0, 60, 60), 32, 3, exactly)


@pytest.mark.parametrize("kind", JPEGS)
def test_a_file_that_was_cut_short_is_a_fault(kind):
    content = encoded(pixels(), quality=90, **JPEGS[kind])
    for length in (len(content) * 9 // 10, len(content) // 2, len(content) // 4):
        with pytest.raises(UnreadablePictureError):
            Picture(content[:length]).part(Box(0, 0, 120, 90), 64, 3, exactly)


def test_what_lies_below_a_part_is_not_decoded():
    content = bytearray(encoded(pixels(), quality=90))
    content[-600:-2] = bytes(598)  # the lowest rows' code
    upper = Box(10, 5, 70, 45)
    expected = whole(encoded(pixels(), quality=90)).resize((32, 32), Image.Resampling.BILINEAR, box=upper)
    np.testing.assert_array_equal(Picture(bytes(content)).part(upper, 32, 3, exactly), np.asarray(expected))
    assert len(Picture(bytes(content))._around(upper, 60 / 32, 40 / 32, 1).content) == len(content)


@pytest.mark.parametrize(("scale", "side"), [(2, 32), (4, 16), (8, 8)])
def test_a_large_part_is_decoded_at_a_fraction(scale, side):
    content, box = encoded(pixels(160, 120), quality=95), Box(16, 16, 16 + scale * side, 16 + scale * side)
    part = Picture(content).part(box, side, 3, exactly).astype(float)
    smaller = Image.open(io.BytesIO(content))
    smaller.draft(None, (160 // scale, 120 // scale))
    assert smaller.size == (160 // scale, 120 // scale)
    at = 16 // scale
    np.testing.assert_array_equal(part, np.asarray(smaller)[at : at + side, at : at + side])
    # libjpeg's small transform is a low pass near the mean of each block of scale x scale pixels.
    means = pixels(160, 120)[16 : 16 + scale * side, 16 : 16 + scale * side].reshape(side, scale, side, scale, 3)
    assert np.abs(part - means.mean(axis=(1, 3))).mean() < 4


def test_grey_is_the_luma_of_the_jpeg():
    content, box = encoded(pixels(), quality=95), Box(0, 0, 60, 60)
    part = Picture(content).part(box, 32, 1, exactly)
    expected = whole(content, "L").resize((32, 32), Image.Resampling.BILINEAR, box=box)
    assert part.shape == (32, 32, 1)
    # Through RGB and back luma is rounded twice more.
    assert np.abs(part[..., 0].astype(int) - np.asarray(expected)).max() <= 2


@pytest.mark.parametrize("mode", ["L", "CMYK", "RGB"])
def test_other_colours_and_png(mode):
    array = np.asarray(Image.fromarray(pixels()).convert(mode))
    buffer = io.BytesIO()
    Image.fromarray(array, mode).save(buffer, "PNG" if mode == "RGB" else "JPEG")
    content, box = buffer.getvalue(), Box(7, 9, 67, 59)
    expected = whole(content).resize((32, 32), Image.Resampling.BILINEAR, box=box)
    np.testing.assert_array_equal(Picture(content).part(box, 32, 3, exactly), np.asarray(expected))


def test_sizes_are_read_from_the_header():
    for content in (encoded(pixels(), exif=bytes(70)), encoded(pixels(), "PNG"), encoded(pixels(), progressive=True)):
        assert (Picture(content).width, Picture(content).height) == (120, 90)


@pytest.mark.parametrize("content", [b"", b"\xff\xd8", b"\xff\xd8\xff\xe0\x00\x10", b"text"])
def test_what_is_no_picture(content):
    with pytest.raises(UnreadablePictureError, match=r"it is none of PNG, JPEG, .*|Truncated File Read"):
        Picture(content)


@pytest.mark.parametrize("kind", ["4:2:0", "tiles, 4:2:2", "progressive", "PNG", "WEBP"])
@pytest.mark.parametrize("turn", range(2, 9))
def test_parts_of_a_turned_picture_are_those_of_the_upright_one(kind, turn):
    exif = Image.Exif()
    exif[0x0112] = turn
    content = encoded(pixels(), kind if kind in ("PNG", "WEBP") else "JPEG", exif=exif, **JPEGS.get(kind, {}))
    expected = ImageOps.exif_transpose(Image.open(io.BytesIO(content)))
    picture = Picture(content)
    assert (picture.width, picture.height) == expected.size
    draws = np.random.default_rng(turn)
    for _ in range(10):
        left, right = sorted(draws.choice(expected.width + 1, 2, replace=False).tolist())
        top = int(draws.integers(expected.height - 5))
        box = Box(left, top, right, min(top + 63, expected.height))  # below twice the side: decoded in full
        wanted = np.asarray(expected.resize((32, 32), Image.Resampling.BILINEAR, box=box))
        part = Picture(content).part(box, 32, 3, exactly)
        # Pillow resizes columns first where a picture is high; rows first everywhere differs by rounding.
        assert np.abs(part.astype(int) - wanted).max() <= 1


def test_large_parts_of_a_turned_picture_are_decoded_at_a_fraction():
    array = pixels(160, 120)
    plain = encoded(array, quality=95)
    upright = Picture(plain).part(Box(16, 8, 144, 104), 16, 3, exactly)
    boxes = {2: Box(16, 8, 144, 104), 3: Box(16, 16, 144, 112), 4: Box(16, 16, 144, 112)}
    turns = {2: np.fliplr, 3: lambda array: np.rot90(array, 2), 4: np.flipud}
    for turn, box in boxes.items():
        exif = Image.Exif()
        exif[0x0112] = turn
        part = Picture(encoded(array, quality=95, exif=exif)).part(box, 16, 3, exactly)
        np.testing.assert_array_equal(part, turns[turn](upright))
