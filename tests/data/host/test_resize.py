"""Resizing, beside Pillow and by hand."""

import math

import numpy as np
import pytest
from PIL import Image

from cnn_jax.data.host import resize
from cnn_jax.data.host.resize import Box, exactly, quickly
from scripts.imagenet_shaped import picture

BOXES = [Box(0, 0, 120, 90), Box(3, 4, 63, 61), Box(17, 0, 120, 33), Box(7.5, 2.25, 101.25, 88.5), Box(40, 40, 60, 55)]


def pixels(channels):
    array = picture(120, 90, (1.0, 0.8, 0.6), np.random.default_rng(3))
    return array if channels == 3 else np.asarray(Image.fromarray(array).convert("L"))[..., None]


def by_pillow(array, box, side):
    resized = Image.fromarray(array.squeeze()).resize((side, side), Image.Resampling.BILINEAR, box=box)
    return np.asarray(resized).reshape(side, side, -1)


@pytest.mark.parametrize("box", BOXES)
@pytest.mark.parametrize("channels", [1, 3])
def test_exactly_is_pillow_s_and_quickly_is_near(channels, box):
    for side in (5, 32, 64, 150):
        expected = by_pillow(pixels(channels), box, side)
        np.testing.assert_array_equal(exactly(pixels(channels), box, side), expected)
        # Weights of 14 bits and of two passes, each rounded to a whole level: off by 1 where Pillow's sum lies near
        # the middle between two, by 2 where both passes do.
        off = np.abs(quickly(pixels(channels), box, side).astype(int) - expected)
        assert off.max() <= 2
        assert off.mean() < 0.3  # a fifth of them by 1


@pytest.mark.parametrize("box", [Box(-1, 0, 50, 50), Box(0, 0, 121, 50), Box(0, 40, 50, 90.5)])
@pytest.mark.parametrize("function", [exactly, quickly])
def test_a_part_beyond_the_picture_is_refused(function, box):
    with pytest.raises((ValueError, RuntimeError), match=r"(?i)box (offset )?can't|crop box|greater or equal to zero"):
        function(pixels(3), box, 32)


def test_the_filter_by_hand():
    # Two pixels become one: 3 of 8 of each and 1 of 8 of the neighbour at each side, which the picture's border lacks.
    row = np.array([0, 80, 160, 240, 80, 0], np.uint8)
    array = np.ascontiguousarray(np.broadcast_to(row[None, :, None], (6, 6, 1)))
    expected = [(3 * 0 + 3 * 80 + 160) / 7, (80 + 3 * 160 + 3 * 240 + 80) / 8, (240 + 3 * 80 + 0) / 7]
    for function in (exactly, quickly):
        np.testing.assert_allclose(function(array, Box(0, 0, 6, 6), 3)[1, :, 0], expected, atol=0.5)


@pytest.mark.skipif(resize.simd is None, reason="no cykooz_resizer")
@pytest.mark.parametrize("channels", [1, 3])
def test_every_processor_s_instructions_make_the_same_pixels(channels, monkeypatch):
    simd = resize.simd
    best = [quickly(pixels(channels), box, 32) for box in BOXES]

    def plain():
        resizer = simd.Resizer()
        resizer.cpu_extensions = simd.CpuExtensions.none
        return resizer

    assert simd.Resizer().cpu_extensions is not simd.CpuExtensions.none
    monkeypatch.setattr(resize, "simd", type("Plain", (), vars(simd) | {"Resizer": staticmethod(plain)}))
    for box, expected in zip(BOXES, best, strict=True):
        np.testing.assert_array_equal(quickly(pixels(channels), box, 32), expected)


def test_without_the_package_pillow_resizes(monkeypatch):
    monkeypatch.setattr(resize, "simd", None)
    for box in BOXES:
        np.testing.assert_array_equal(quickly(pixels(3), box, 32), by_pillow(pixels(3), box, 32))


def test_exactly_does_not_depend_on_what_lies_around_a_part():
    array = np.random.default_rng(0).integers(0, 256, (300, 140, 3), dtype=np.uint8)
    for box in (Box(40, 60, 64, 90), Box(40, 60, 94, 175), Box(20, 20, 120, 280), Box(50, 60, 70, 64)):
        for side in (19, 32, 95):
            whole = exactly(array, box, side)
            reach = math.ceil(max(box.right - box.left, box.bottom - box.top) / side)  # of the filter
            for margin in (reach + 1, reach + 3, 20):
                left, top = int(box.left) - margin, int(box.top) - margin
                around = np.ascontiguousarray(array[top : int(box.bottom) + margin, left : int(box.right) + margin])
                moved = Box(margin, margin, box.right - left, box.bottom - top)
                np.testing.assert_array_equal(exactly(around, moved, side), whole)
