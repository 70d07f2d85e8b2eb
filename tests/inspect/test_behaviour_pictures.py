"""Figures of behaviour and borders show the numbers that they were given."""

import numpy as np

from cnn_jax.inspect import behaviour_pictures
from cnn_jax.inspect.behaviour import Behaviour
from cnn_jax.inspect.border import LayerBorder
from tests.figure_text import check_text_inside

SHIFT = Behaviour("shift", (0, 1, 2), np.array([0.9, 0.8, 0.5]), np.array([1, 0.9, 0.6]), np.array([0, 0.2, 0.4]), 20)
NOISE = Behaviour("noise", (0, 16), None, np.array([1, 0.7]), np.array([0, 0.3]), 20)


def test_curves():
    figure = behaviour_pictures.curves([SHIFT, NOISE])
    shares, other, distances, _ = figure.axes
    accuracy, agreement = shares.lines
    np.testing.assert_allclose(accuracy.get_ydata(), [90, 80, 50])
    np.testing.assert_allclose(agreement.get_ydata(), [100, 90, 60])
    np.testing.assert_allclose(distances.lines[0].get_xydata(), [(0, 0), (1, 0.2), (2, 0.4)])
    assert len(other.lines) == 1  # no labels, no accuracy
    check_text_inside(figure)


def test_examples():
    picture = np.zeros((1, 9, 9, 1), np.uint8)
    picture[0, 4, 4] = 200
    figure = behaviour_pictures.examples(picture, [SHIFT, NOISE])
    shown = [axes.images[0].get_array() if axes.images else None for axes in figure.axes]
    assert [None if each is None else int(each.argmax()) for each in shown[:3]] == [40, 41, 42]
    assert shown[5] is None  # of two levels there is no third
    check_text_inside(figure)


BORDERS = [
    LayerBorder(("VALID",), True, "conv1/activation", np.full((4, 4), 9.0)),
    LayerBorder(("VALID",), True, "conv2/activation", np.full((2, 2), 3.0)),
    LayerBorder(("SAME", "SAME_LOWER", "TORCH"), False, "conv1/activation", np.pad(np.full((4, 4), 9.0), 1)),
]


def test_border_profiles():
    figure = behaviour_pictures.border_profiles(BORDERS)
    first, second = figure.axes[:2]
    own, same = first.lines
    np.testing.assert_allclose(own.get_ydata(), [9, 9])
    np.testing.assert_allclose(same.get_ydata(), [0, 9, 9])
    assert own.get_linewidth() > same.get_linewidth()
    assert len(second.lines) == 1
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == [
        "VALID (the network's own)",
        "SAME, SAME_LOWER, TORCH",
    ]
    check_text_inside(figure)


def test_border_maps():
    figure = behaviour_pictures.border_maps(BORDERS)
    valid, valid2, same, none = figure.axes[:4]
    assert not none.images
    assert valid.images[0].get_clim() == same.images[0].get_clim() == (0, 9)  # one scale for each layer
    assert valid2.images[0].get_array().shape == (2, 2)
    check_text_inside(figure)
