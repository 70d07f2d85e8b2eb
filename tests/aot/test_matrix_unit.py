"""Padding of the matrix unit worked out by hand."""

import pytest

from cnn_jax import geometry
from cnn_jax.aot import matrix_unit
from cnn_jax.config.model import Cnn
from cnn_jax.layer_rows import LayerRow


def convolution(name, size, taps, inputs, outputs, groups=1, sources=(0,)):
    work = size * size * taps * taps * inputs // groups * outputs
    window = {"window": (taps, taps), "groups": groups, "sources": sources}
    return LayerRow(name, "conv", (size, size, inputs), (size, size, outputs), multiply_adds=work, **window)


@pytest.mark.parametrize(
    ("layer", "side", "rows", "columns", "waste"),
    [
        # 576 x 64 in 640 x 128
        (convolution("a", 56, 3, 64, 64), 128, 576, 64, 1 - 576 * 64 / (640 * 128)),
        # 147 x 64 in 256 x 128, and in 256 x 256
        (convolution("stem", 112, 7, 3, 64), 128, 147, 64, 1 - 147 * 64 / (256 * 128)),
        (convolution("stem", 112, 7, 3, 64), 256, 147, 64, 1 - 147 * 64 / (256 * 256)),
        (convolution("b", 28, 1, 512, 128), 128, 512, 128, 0),
        # each of 2 groups 3 * 3 * 48 x 128
        (convolution("c", 27, 3, 96, 256, groups=2), 128, 432, 128, 1 - 432 / 512),
        # depthwise: 9 x 1 of 128 x 128
        (convolution("d", 14, 3, 32, 32, groups=32), 128, 9, 1, 1 - 9 / 128**2),
        (LayerRow("e", "dense", (576,), (10,), multiply_adds=5760), 128, 576, 10, 1 - 5760 / (640 * 128)),
    ],
)
def test_one_layer(layer, side, rows, columns, waste):
    (filling,) = matrix_unit.fillings([layer], side)
    assert (filling.rows, filling.columns) == (rows, columns)
    assert filling.waste == pytest.approx(waste)


def test_of_a_network_by_work():
    # (147 x 64 of 256 x 128) at 112 x 112 and (512 x 128, full) at 28 x 28
    layers = [convolution("stem", 112, 7, 3, 64), convolution("b", 28, 1, 512, 128)]
    useful = 112**2 * 147 * 64 + 28**2 * 512 * 128
    padded = 112**2 * 256 * 128 + 28**2 * 512 * 128
    assert matrix_unit.waste(matrix_unit.fillings(layers, 128)) == pytest.approx(1 - useful / padded)


def test_the_lectures_network():
    summary = geometry.summarize(Cnn(), (28, 28, 1), 10)
    # Multiply-adds of the lecture's table: outputs x weights without biases
    first, others = 26**2 * 288, [11**2 * 18432, 3**2 * 36864, 576 * 64, 64 * 10]
    assert summary.multiply_adds == first + sum(others)
    # the image needs no gradient
    assert summary.training_flop == 4 * first + 6 * sum(others)
    assert [filling.rows for filling in matrix_unit.fillings(summary.layers, 128)] == [9, 288, 576, 576, 64]
