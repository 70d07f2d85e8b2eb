"""The parts that are seen."""

import io

import numpy as np
import pytest
from PIL import Image

from cnn_jax.data.host import resize
from cnn_jax.data.host.crops import CentreCrop, RandomResizedCrop
from cnn_jax.data.host.resize import Box
from scripts.imagenet_shaped import picture


def jpeg(width, height):
    buffer = io.BytesIO()
    Image.fromarray(picture(width, height, (1.0, 1.0, 0.5), np.random.default_rng(1))).save(buffer, "JPEG", quality=90)
    return buffer.getvalue()


def test_random_boxes_have_the_area_and_the_aspect_that_were_asked_for():
    crop = RandomResizedCrop(32, 3, area=(0.1, 0.9), aspect=(0.5, 2.0))
    draws = np.random.default_rng(0)
    boxes = np.array([crop.box(500, 400, draws) for _ in range(4000)])
    widths, heights = boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]
    assert boxes.min() >= 0
    assert boxes[:, 2].max() <= 500
    assert boxes[:, 3].max() <= 400
    areas, aspects = widths * heights / 200_000, widths / heights
    # Sides are rounded to pixels: half a pixel of the least side, 100, is half a percent.
    assert 0.0985 < areas.min() < 0.11
    assert 0.84 < areas.max() < 0.91
    assert 0.495 < aspects.min() < 0.51
    assert 1.95 < aspects.max() < 2.02
    # All places are as likely: the room left of a box is on average half of all room.
    room = 500 - widths
    assert abs((boxes[:, 0] / np.maximum(room, 1))[room > 20].mean() - 0.5) < 0.02  # four standard errors


def test_small_areas_are_drawn_evenly():
    crop = RandomResizedCrop(32, 3, area=(0.08, 0.2), aspect=(1.0, 1.0))
    draws = np.random.default_rng(0)
    areas = np.array([(box.right - box.left) ** 2 for box in (crop.box(1000, 1000, draws) for _ in range(4000))]) / 1e6
    assert abs(areas.mean() - 0.14) < 0.0022  # four standard errors of an even draw, 0.12 / sqrt(12 * 4000)
    assert abs(np.median(areas) - 0.14) < 0.004


@pytest.mark.parametrize(
    ("size", "box"),
    [
        ((300, 100), Box(83, 0, 216, 100)),  # 133 of 300 pixels wide: 4/3 of the height; (300 - 133) // 2 = 83
        ((100, 300), Box(0, 83, 100, 216)),
    ],
)
def test_where_no_draw_fits_it_is_the_middle(size, box):
    crop = RandomResizedCrop(32, 3, area=(1.0, 1.0))
    assert crop.box(*size, np.random.default_rng(0)) == box


def test_half_of_the_parts_are_mirrored(monkeypatch):
    monkeypatch.setattr(resize, "quickly", resize.exactly)  # so that the pixels are Pillow's to the last bit
    content = jpeg(60, 60)
    plain = np.asarray(Image.open(io.BytesIO(content)).resize((40, 40), Image.Resampling.BILINEAR))
    seen = {"plain": 0, "mirrored": 0}
    crop = RandomResizedCrop(40, 3, area=(1.0, 1.0), aspect=(1.0, 1.0))
    for seed in range(100):
        part = crop(content, np.random.default_rng(seed))
        seen["plain"] += (part == plain).all()
        seen["mirrored"] += (part == plain[:, ::-1]).all()
    assert sum(seen.values()) == 100
    assert abs(seen["plain"] - 50) <= 20  # four deviations
    never = RandomResizedCrop(40, 3, area=(1.0, 1.0), aspect=(1.0, 1.0), mirror=False)
    assert all((never(content, np.random.default_rng(seed)) == plain).all() for seed in range(10))


def test_the_middle_is_where_resizing_and_cropping_would_have_it():
    content = jpeg(100, 80)
    crop = CentreCrop(56, 3, 64)
    assert crop.box(100, 80) == (15, 5, 85, 75)  # 56 of 64 pixels of the shorter side, 80: 70 pixels, in the middle
    resized = Image.open(io.BytesIO(content)).resize((80, 64), Image.Resampling.BILINEAR).crop((12, 4, 68, 60))
    # The same filter at the same places; its weights may be rounded another way.
    difference = crop(content, np.random.default_rng(0)).astype(int) - np.asarray(resized)
    assert np.abs(difference).max() <= 1


@pytest.mark.parametrize("channels", [1, 3])
def test_a_mirrored_part_is_the_mirror_image(channels):
    content, areas = jpeg(120, 90), {"area": (0.3, 0.6)}
    turning, plain = (RandomResizedCrop(32, channels, **areas, mirror=each) for each in (True, False))
    turned = 0
    for seed in range(20):
        part, expected = (crop(content, np.random.default_rng(seed)) for crop in (turning, plain))
        if not np.array_equal(part, expected):
            np.testing.assert_array_equal(part, expected[:, ::-1])
            turned += 1
    assert 1 <= turned <= 19


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (9, 1), (3, 2)])
@pytest.mark.parametrize("aspect", [(0.1, 0.2), (0.75, 4 / 3), (4.0, 9.0)])
def test_pictures_of_a_few_pixels_have_parts(size, aspect):
    """A middle of less than a 64th of a pixel and a part of less than one become as large."""
    buffer = io.BytesIO()
    Image.new("RGB", size, (200, 100, 50)).save(buffer, "PNG")
    draws = np.random.default_rng(0)
    expected = np.broadcast_to(np.array([200, 100, 50], np.uint8), (8, 8, 3))
    np.testing.assert_array_equal(CentreCrop(8, 3, 5000)(buffer.getvalue(), draws), expected)
    for _ in range(20):
        part = RandomResizedCrop(8, 3, aspect=aspect)(buffer.getvalue(), draws)
        assert np.abs(part.astype(int) - expected).max() <= 2
