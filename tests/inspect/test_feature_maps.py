"""Outputs of layers, by hand and in batches."""

import jax
import numpy as np
import pytest

from cnn_jax import models
from cnn_jax.config.model import Cnn
from cnn_jax.inspect import attribution
from cnn_jax.inspect.feature_maps import layer_outputs

MODEL = models.create(Cnn(features=(2,), kernel_size=1, pooling="none", dense=()), 2)


def test_by_hand_and_in_batches(monkeypatch):
    variables = jax.device_get(MODEL.init(jax.random.key(0), (2, 2, 1)))
    variables["params"]["conv1"].update(
        kernel=np.array([[[[2.0, -1.0]]]], np.float32), bias=np.array([0.0, 3.0], np.float32)
    )
    images = np.arange(20, dtype=np.float32).reshape(5, 2, 2, 1)
    monkeypatch.setattr(attribution, "LARGEST_BATCH", 2)  # two batches and a filled one
    outputs = layer_outputs(MODEL, variables, images, ["conv1", "conv1/activation"])
    expected = np.concatenate([2 * images, 3 - images], axis=-1)
    np.testing.assert_array_equal(outputs["conv1"], expected)
    np.testing.assert_array_equal(outputs["conv1/activation"], np.maximum(expected, 0))


def test_an_unknown_layer():
    variables = MODEL.init(jax.random.key(0), (2, 2, 1))
    with pytest.raises(ValueError, match="layer 'conv9'"):
        layer_outputs(MODEL, variables, np.zeros((1, 2, 2, 1), np.float32), ["conv9"])
