"""All maps of a class: each is the one of its own function, and what shows nothing is said in words."""

import jax
import numpy as np
import pytest

from cnn_jax import models
from cnn_jax.config.model import Cnn
from cnn_jax.inspect import attribution, grad_cam, occlusion
from cnn_jax.inspect.class_maps import METHODS, Effort, class_maps, in_words, rectifiers

EFFORT = Effort(samples=2, steps=3, windows=4)
IMAGES = np.random.default_rng(0).standard_normal((2, 9, 6, 3)).astype(np.float32)
CLASSES = np.array([1, 0])


def network(**fields):
    model = models.create(Cnn(features=(3,), dense=(), **fields), 2)
    return model, model.init(jax.random.key(1), IMAGES.shape[1:])


def test_each_method_is_its_own():
    seen = *network(), IMAGES, CLASSES
    key = jax.random.key(2)
    found = class_maps(*seen, key, EFFORT)
    # A quarter of 9 pixels is 3, and windows are twice as large, here as the image's width.
    assert (found.window, found.strides, found.layer) == ((6, 6), (3, 3), "conv1/activation")
    slope = attribution.gradient(*seen)
    guided = attribution.guided_backprop(*seen)
    heat = grad_cam.grad_cam(*seen).heatmaps
    integrated = attribution.integrated_gradients(*seen, steps=3)
    expected = {
        "gradient": slope.sum(-1),
        "gradient x input": (slope * IMAGES).sum(-1),
        "SmoothGrad": attribution.smooth_grad(*seen, key, samples=2).sum(-1),
        "integrated gradients": integrated.attributions.sum(-1),
        "guided backpropagation": guided.sum(-1),
        "Grad-CAM": heat,
        "guided Grad-CAM": grad_cam.guided_grad_cam(*seen).attributions.sum(-1),
        "occlusion": occlusion.occlusion(*seen, 6, 3),
    }
    assert tuple(expected) == METHODS
    assert len({values.tobytes() for values in expected.values()}) == len(METHODS), "no two methods agree here"
    for place in range(2):
        for each in found.maps[place]:
            np.testing.assert_allclose(each.values, expected[each.method][place], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(found.completeness_errors, integrated.completeness_error)


def test_no_rectifiers_and_no_dependence():
    model, variables = network(activation="tanh")
    variables = jax.device_get(variables)
    logits = variables["params"]["head"]["logits"]
    logits["kernel"] = np.zeros_like(logits["kernel"])
    assert rectifiers(model, variables, IMAGES) == 0
    maps = {
        each.method: each for each in class_maps(model, variables, IMAGES, CLASSES, jax.random.key(0), EFFORT).maps[0]
    }
    for method in ("guided backpropagation", "guided Grad-CAM"):
        assert maps.pop(method).values is None
    assert maps["Grad-CAM"].remark == "Grad-CAM is zero everywhere: the class's logit does not depend on these maps."
    assert {each.remark for method, each in maps.items() if method != "Grad-CAM"} == {"zero everywhere"}


@pytest.mark.parametrize(
    ("values", "words"),
    [([[0, 0]], "zero everywhere"), ([[0, -1]], "no positive value: negative or zero everywhere"), ([[-1, 2]], None)],
)
def test_in_words(values, words):
    assert in_words(np.array(values, np.float32)) == words
