"""Figures and tables of activation maximisation show what they were given."""

import dataclasses

import numpy as np

from cnn_jax.inspect import activation_pictures
from cnn_jax.inspect.activation_maximization import MaximizedActivations, Search
from tests.figure_text import check_text_inside

FOUND = MaximizedActivations(
    "conv1",
    Search(steps=9),
    np.array([4, 0]),
    np.stack([np.full((5, 5, 1), value, np.uint8) for value in (10, 200)]),
    np.array([3.5, 1.25]),
    np.array([0.5, -1.0]),
)
USUAL = np.array([[0, 9, 9, 9, 1.0], [1, 9, 9, 9, 2]])


def test_pictures():
    figure = activation_pictures.maximized(FOUND, usual=USUAL)
    first, second = figure.axes
    assert first.get_title() == "channel 4\n0.50 to 3.50\nimages 1.50"
    assert second.get_title() == "channel 0\n-1.00 to 1.25\nimages 0.50"
    assert [axes.images[0].get_array()[0, 0] for axes in figure.axes] == [10, 200]
    check_text_inside(figure)
    figure = activation_pictures.maximized(FOUND, ["$shoe$", "b", "c", "d", "a very long name of a class"])
    assert figure.axes[1].get_title().startswith(r"\$shoe\$" + "\n")
    check_text_inside(figure)


def test_a_channel_that_was_not_raised():
    silent = dataclasses.replace(FOUND, responses=np.array([3.5, 0.0]), start_responses=np.array([0.5, 0.0]))
    figure = activation_pictures.maximized(silent)
    assert [axes.get_title() for axes in figure.axes] == [
        "channel 4\n0.50 to 3.50",
        "channel 0\n0.00 to 0.00\nnot raised",
    ]


def test_rows():
    first, second = activation_pictures.rows([FOUND], {"conv1": USUAL})
    assert first == {
        "layer": "conv1",
        "channel": 4,
        "objective": "mean",
        "steps": 9,
        "start_response": 0.5,
        "response": 3.5,
        "images_mean": 1.5,
        "images_largest": 2.0,
    }
    assert second["images_largest"] == 1.0
    assert "images_mean" not in activation_pictures.rows([FOUND])[0]
