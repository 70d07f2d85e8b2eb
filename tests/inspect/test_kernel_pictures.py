"""Kernels as pictures: colours for colours, maps for others, a matrix for 1x1."""

import io

import matplotlib
import numpy as np
import pytest
from PIL import Image

from cnn_jax.inspect.kernel_pictures import kernel_sheet
from cnn_jax.inspect.kernels import LearnedKernels


def kernels(weights, reads_image, shape=None):
    counts = weights.shape[3], weights.shape[2]
    outputs, inputs = (np.arange(count) + 7 for count in counts)
    whole = shape or weights.shape
    return LearnedKernels("conv", whole, weights, outputs, inputs, reads_image, float(np.abs(weights).max()))


def drawn(figure):
    content = io.BytesIO()
    figure.savefig(content)
    return np.asarray(Image.open(content).convert("RGB"))


def has(pixels, colour):
    return (np.abs(pixels.astype(int) - colour).max(axis=-1) <= 1).any()


def test_colours():
    """Weights 2, 0 and -2 of red, green and blue, of at most 2, are full, half and no light."""
    weights = np.broadcast_to(np.array([2.0, 0.0, -2.0])[:, None], (3, 3, 3, 1))
    figure = kernel_sheet(kernels(weights, reads_image=True))
    assert has(drawn(figure), (255, 128, 0))
    assert [text.get_text() for text in figure.texts] == ["conv: 1 kernel 3x3 in colour (grey is 0)", "7"]


@pytest.mark.parametrize(
    ("shape", "whole", "reads_image", "title", "labels"),
    [
        ((3, 3, 1, 2), None, True, "conv: 2 kernels 3x3", ["7", "8"]),
        ((3, 3, 1, 2), (3, 3, 1, 90), False, "conv: 2 of 90 kernels 3x3", ["7", "8"]),
        (
            (3, 2, 2, 20),
            (3, 2, 5, 20),
            False,
            "conv: 16 of 20 output channels (rows), 2 of 5 input channels, 3x2",
            ["7", "7", "8", *map(str, range(8, 23))],
        ),
        ((1, 1, 4, 6), None, False, "conv: 1x1, 4 input channels (rows) by 6 output channels", []),
    ],
)
def test_maps(shape, whole, reads_image, title, labels):
    weights = np.zeros(shape)
    weights[0, 0, 0, 0], weights[0, 0, 0, 1] = 1, -1
    figure = kernel_sheet(kernels(weights, reads_image, whole))
    texts = [text.get_text() for text in figure.texts]
    assert texts[0] == title
    assert sorted(texts[1:], key=int) == sorted(labels, key=int)
    for value in (0.0, 0.5, 1.0):
        assert has(drawn(figure), np.rint(np.array(matplotlib.colormaps["RdBu_r"](value)[:3]) * 255))


def test_all_zero():
    drawn(kernel_sheet(kernels(np.zeros((3, 3, 1, 1)), reads_image=True)))
