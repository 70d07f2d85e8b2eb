"""Figures of receptive fields show the fields that they were given."""

import numpy as np

from cnn_jax.inspect import receptive_field_pictures
from cnn_jax.inspect.receptive_field import ReceptiveField
from tests.figure_text import check_text_inside


def field(name, box, seen):
    gradients = np.zeros((10, 10))
    gradients[seen] = 2.0
    return ReceptiveField(name, "conv", (3, 3), box, gradients)


FIELDS = [
    field("conv1", (3, 2, 4, 6), np.s_[3:7, 2:8]),
    field("a/very/long/name/of/a/layer/in/a/deep/network", (-3, -3, 16, 16), np.s_[4:6, 4:6]),
    field("dead", (0, 0, 10, 10), np.s_[:0]),
]


def test_sizes():
    figure = receptive_field_pictures.sizes(FIELDS)
    theoretical, inside, effective = figure.axes[0].lines
    np.testing.assert_allclose(theoretical.get_ydata(), [24**0.5, 16, 10])
    np.testing.assert_allclose(inside.get_ydata(), [24**0.5, 10, 10])
    np.testing.assert_allclose(effective.get_ydata(), [24**0.5, 2, 0])
    check_text_inside(figure)


def test_fields_on_a_picture():
    picture = np.full((10, 10, 3), 200, np.uint8)
    figure = receptive_field_pictures.drawn(FIELDS, picture)
    first, second, third = figure.axes
    (box,) = first.patches
    assert (box.get_xy(), box.get_width(), box.get_height()) == ((1.5, 2.5), 6, 4)
    (box,) = second.patches  # clipped to the picture
    assert (box.get_xy(), box.get_width(), box.get_height()) == ((-0.5, -0.5), 10, 10)
    assert "beyond the image" in second.get_title()
    assert "beyond the image" not in third.get_title()
    shown = np.asarray(second.images[0].get_array())
    np.testing.assert_array_equal(shown[4, 4], [200, 200, 200])
    assert (shown[0, 0] < 150).all()
    outline = [line for each in first.collections for line in each.get_segments()]
    assert len(outline) == 2 * (4 + 6)  # an edge for each pixel around
    check_text_inside(figure)


def test_gradients():
    figure = receptive_field_pictures.gradients(FIELDS)
    assert figure.axes[0].images[0].get_array().max() == 1
    (text,) = figure.axes[2].texts
    assert "no pixel" in text.get_text()
    check_text_inside(figure)
