"""Maps as pictures: which channels are shown, and which maps share a scale."""

import numpy as np

from cnn_jax.inspect.class_maps import METHODS, ClassMap
from cnn_jax.inspect.map_pictures import class_map_panels, feature_map_sheet, shared_limits, strongest_channels
from cnn_jax.inspect.sheets import Scale

PICTURE = np.full((4, 4, 1), 100, np.uint8)


def test_strongest_channels():
    outputs = np.zeros((2, 1, 2, 4))
    outputs[0, 0, 1] = [1, 5, 0, 2]
    outputs[1, 0, 0] = [-7, 0, 0, 2]
    assert strongest_channels(outputs, 3).tolist() == [0, 1, 3]
    assert strongest_channels(outputs[:, 0, 1], 9).tolist() == [1, 3, 0, 2]


def maps(*limits):
    values = [np.array([[-limit, limit / 2]]) for limit in limits]
    return [ClassMap(method, value, None) for method, value in zip(METHODS, values, strict=False)]


def test_shared_scales():
    images = [[*maps(1, 5), ClassMap("occlusion", None, "none")], maps(3, 2)]
    assert shared_limits(images, "own") is None
    assert shared_limits(images, "method") == {"gradient": 3, "gradient x input": 5}
    assert shared_limits(images, "all") == {"gradient": 5, "gradient x input": 5}


def test_words_in_figures():
    def words(figure):
        return [text.get_text() for text in figure.texts]

    output = np.zeros((3, 3, 40))
    sheet = feature_map_sheet("conv1", output, np.array([4, 2]), Scale(0, 1, "", "Reds"), PICTURE)
    assert words(sheet) == ["conv1: 2 of 40 maps of 3x3", "4", "2"]
    values = feature_map_sheet("dense1", output[0, 0], np.arange(40), Scale(0, 1, "", "Reds"), PICTURE)
    assert words(values) == ["dense1: 40 values", *map(str, range(40))]
    zero, negative, positive = np.zeros((4, 4)), np.full((4, 4), -1.0), np.ones((4, 4))
    parts = [
        ClassMap("gradient", zero, "zero everywhere"),
        ClassMap("SmoothGrad", negative, "no positive value: negative or zero everywhere"),
        ClassMap("Grad-CAM", zero, "Grad-CAM is negative or zero everywhere: ..."),
        ClassMap("occlusion", positive, None),
        ClassMap("guided Grad-CAM", None, "..."),
    ]
    assert words(class_map_panels(parts, PICTURE)) == [
        "picture",
        "gradient\nzero everywhere",
        "SmoothGrad\nno positive value",
        "Grad-CAM\nzero everywhere",
        "occlusion",
        "guided Grad-CAM\ndoes not apply",
    ]
    assert words(class_map_panels(maps(1, 5), PICTURE, {"gradient": 5, "gradient x input": 5}))
