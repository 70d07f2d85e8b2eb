"""Patches as pictures, made by hand: where they lie, and the colours of reconstructions."""

import dataclasses

import numpy as np
import pytest

from cnn_jax.inspect.patches import TopPatches
from cnn_jax.inspect.patches_pictures import caption, patch_grid, reconstruction_grid, sheet
from cnn_jax.inspect.strongest import TopUnits

GREY = 128


@pytest.fixture
def found():
    """Two channels of three units each; the first unit of the first is cut off at the top of the image."""
    boxes = np.array([[[0, 2, 2, 3], [4, 4, 3, 3], [0, 0, 0, 0]], [[0, 0, 3, 3]] * 3])
    units = TopUnits(
        layer="conv1/activation",
        channels=np.array([5, 7]),
        values=np.array([[2.5, 1.25, -np.inf], [0, 0, 0]]),
        images=np.array([[3, 8, -1], [0, 1, 2]]),
        places=np.zeros((2, 3, 2), int),
        boxes=boxes,
    )
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (2, 3, 3, 3, 1), np.uint8)
    signals = np.zeros((2, 3, 3, 3, 1), np.float32)
    signals[0, 0, 0, :, 0] = [-4, 0, 2]
    guided = -10 * signals
    guided[0, 1] = 1e-3
    return TopPatches(units, pixels / np.float32(255), pixels, {"deconvnet": signals, "guided": guided}, units.values)


def test_patches_lie_where_their_fields_have_them(found):
    grid = patch_grid(found, 0)
    assert grid.shape == (60 + 2 + 60, 60 + 2 + 60, 3)  # each pixel is drawn 20x20, with lines of 2 between
    first, second = grid[:60, :60], grid[:60, 62:]
    assert (first[:20] == GREY).all()  # the row that lies outside of the image
    np.testing.assert_array_equal(first[20::20, ::20, 0], found.pixels[0, 0, :2, :, 0])
    np.testing.assert_array_equal(first[39::20, 19::20, 2], found.pixels[0, 0, :2, :, 0])
    np.testing.assert_array_equal(second[10::20, 10::20, 1], found.pixels[0, 1, ..., 0])
    assert (grid[60:] == GREY).all()  # there is no third unit
    assert (grid[:, 60:62] == GREY).all()


def test_silent_channels_show_nothing(found):
    assert list(found.units.silent) == [False, True]
    assert (patch_grid(found, 1) == GREY).all()
    assert (reconstruction_grid(found, 1, "guided") == GREY).all()
    assert caption(found, 0) == "channel 5: 2.5 to 1.25"
    assert caption(found, 1) == "channel 7: 0 for every image"
    large = dataclasses.replace(found.units, values=1000 * found.units.values)
    assert caption(dataclasses.replace(found, units=large), 0) == "channel 5: 2500 to 1250"


def test_reconstructions_have_symmetric_scales(found):
    """Blue is negative, white 0, red positive: -4 is as far from white as 4 would be, and 2 half as far."""
    grid = reconstruction_grid(found, 0, "deconvnet")
    negative, zero, positive = (grid[30, column].astype(int) for column in (10, 30, 50))
    assert negative[2] > 90 > 20 > negative[0]  # the darkest blue
    assert zero.min() > 240
    assert positive[0] > 200 > positive[2] > 100  # and a medium red
    colours = np.zeros((2, 3, 3, 3, 3), np.float32)
    colours[0, 0, 0, 0] = [-4, 0, 2]
    coloured = dataclasses.replace(found, reconstructions={"guided": colours})
    grid = reconstruction_grid(coloured, 0, "guided")
    assert list(grid[30, 10]) == [0, GREY, 191]
    assert list(grid[30, 30]) == [GREY] * 3
    swapped = reconstruction_grid(coloured, 0, "guided", colours=(2, 1, 0))
    assert list(swapped[30, 10]) == [191, GREY, 0]
    # Each has a scale of its own: 0.001 everywhere is as red as it gets, beside one of -20 and 40.
    weak = reconstruction_grid(found, 0, "guided")
    assert weak[30, 10, 0] == weak[30, 92, 0] < 110
    assert (weak[:60, 62:] == weak[30, 92]).all()


def test_few_values_are_beyond_the_scale(found):
    """The ends of 100 values 1 to 100 are at the 100th; the ten largest of 1,000 are beyond them."""
    for count, end in ((100, 100), (1000, 990)):
        signals = np.arange(1, count + 1, dtype=np.float32).reshape(1, 1, count // 10, 10, 1).repeat(3, axis=-1)
        units = dataclasses.replace(
            found.units,
            **{name: getattr(found.units, name)[:1, :1] for name in ("values", "images", "places")},
            channels=found.units.channels[:1],
            boxes=np.array([[[0, 0, count // 10, 10]]]),
        )
        pixels = np.zeros(signals.shape, np.uint8)
        one = TopPatches(units, signals, pixels, {"gradient": signals}, units.values)
        grid = reconstruction_grid(one, 0, "gradient")
        scale = grid.shape[0] // (count // 10)
        drawn = grid[::scale, ::scale, 0].ravel().astype(int)
        np.testing.assert_allclose(drawn, 255 * (0.5 + np.arange(1, count + 1).clip(max=end) / end / 2), atol=1)


def test_a_sheet_has_each_channel(found):
    figure = sheet(found, "the first layer")
    titles = [axes.get_title() for axes in figure.axes]
    assert titles == ["channel 5: 2.5 to 1.25", "channel 7: 0 for every image"]
    drawn = np.asarray(figure.axes[0].images[0].get_array())
    deconvnet, guided = (reconstruction_grid(found, 0, rule) for rule in ("deconvnet", "guided"))
    right = patch_grid(found, 0)
    gap = np.full((122, 6, 3), 255)
    np.testing.assert_array_equal(drawn, np.concatenate([deconvnet, gap, guided, gap, right], axis=1))
    title = "the first layer\nfrom left to right: deconvnet, guided backpropagation, patches"
    assert figure.get_suptitle() == title
    assert [axes.get_title() for axes in sheet(found, "", channels=[1]).axes] == titles[1:]
