"""Sheets and panels: every map is drawn whole, in the colours of its scale, at its place."""

import io

import matplotlib
import numpy as np
import pytest
from PIL import Image

from cnn_jax.inspect.sheets import Labels, Panel, Scale, panels, sheet


def drawn(figure):
    content = io.BytesIO()
    figure.savefig(content)
    return np.asarray(Image.open(content).convert("RGB"))


def has(pixels, colour):
    return (np.abs(pixels.astype(int) - colour).max(axis=-1) <= 1).any()


def test_scales_have_white_at_zero():
    assert Scale.of(np.array([-1.0, 3.0]), "") == Scale(-3, 3, "", "RdBu_r")
    assert Scale.of(np.array([0.0, 3.0]), "") == Scale(0, 3, "", "Reds")
    assert Scale.of(np.zeros(2), "") == Scale(0, 1, "", "Reds")


def test_every_tile_is_drawn_in_order():
    """Six tiles of one colour each, two in a row: their colours stand in this order, and nothing is cut off."""
    values = np.linspace(-1, 1, 6).astype(np.float32)
    tiles = np.broadcast_to(values[:, None, None], (6, 4, 4))
    pixels = drawn(sheet(tiles, 2, Labels("title", tiles=list("abcdef")), Scale(-1, 1, "weight", "RdBu_r")))
    places = []
    for value in values:
        colour = np.rint(np.array(matplotlib.colormaps["RdBu_r"]((value + 1) / 2)[:3]) * 255)
        rows, columns = np.nonzero(np.abs(pixels[:, :240].astype(int) - colour).max(axis=-1) <= 1)
        assert np.ptp(rows) > 60, "most of an inch"
        places.append((rows.mean(), columns.mean()))
    assert places[0][1] < places[1][1]
    assert places[0][0] < places[2][0] < places[4][0]
    frame = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
    assert (frame == 255).all(), "nothing is cut off"


def test_colours_and_picture():
    tiles = np.zeros((3, 2, 2, 3), np.float32)
    tiles[0, ..., 0], tiles[1, ..., 1], tiles[2] = 1, 1, 2  # out of range is cut off
    picture = np.full((5, 5, 3), (10, 20, 200), np.uint8)
    pixels = drawn(sheet(tiles, 3, Labels("title", rows=["a"], columns=["b", "c", "d"]), None, picture))
    for colour in ((255, 0, 0), (0, 255, 0), (10, 20, 200)):
        assert has(pixels, colour)


def test_large_tiles_are_averaged():
    board = np.indices((1, 1296, 1296)).sum(0) % 2 * 2 - 1.0  # 1 and -1 in turn
    pixels = drawn(sheet(board, 1, Labels("title"), Scale(-1, 1, "", "RdBu_r")))
    assert has(pixels[100:200, 50:150], np.rint(np.array(matplotlib.colormaps["RdBu_r"](0.5)[:3]) * 255))


@pytest.mark.parametrize("shape", [(8, 8, 1), (4, 9, 3)])
def test_panels(shape):
    picture = np.full(shape, 77, np.uint8)
    negative = np.full(shape[:2], -2.0, np.float32)
    parts = [
        Panel("first", negative, Scale(-2, 2, "", "RdBu_r"), "no positive value"),
        Panel("second", None, None, "does not apply"),
    ]
    figure = panels(picture, parts)
    pixels = drawn(figure)
    assert has(pixels, (77, 77, 77))
    assert has(pixels, np.rint(np.array(matplotlib.colormaps["RdBu_r"](0.0)[:3]) * 255))
    assert {text.get_text() for text in figure.texts} == {
        "picture",
        "first\nno positive value",
        "second\ndoes not apply",
    }
