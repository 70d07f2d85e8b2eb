"""Learned kernels, sorted by hand."""

import jax
import numpy as np
import pytest

from cnn_jax import models
from cnn_jax.config.model import Cnn, LeNet5
from cnn_jax.inspect.kernels import SEEN_INPUTS, SEEN_OUTPUTS, learned_kernels


def test_the_largest_come_first():
    model = models.create(Cnn(features=(3, 2), kernel_size=(1, 2), dense=()), 2)
    variables = jax.device_get(model.init(jax.random.key(0), (8, 8, 1)))
    first = np.array([[[1, -4, 2]], [[1, 0, 2]]], np.float32)[None]  # norms: root 2, 4, root 8
    variables["params"]["conv1"]["kernel"] = first
    second = np.zeros((1, 2, 3, 2), np.float32)
    second[0, :, 0, 0], second[0, 0, 2, 1] = [1, 1], -3  # norms of outputs: root 2, 3; of inputs: root 2, 0, 3
    variables["params"]["conv2"]["kernel"] = second
    one, two = learned_kernels(model, variables, (8, 8, 1))
    assert (one.layer, one.shape, one.reads_image, one.limit) == ("conv1", (1, 2, 1, 3), True, 4)
    assert one.outputs.tolist() == [1, 2, 0]
    np.testing.assert_array_equal(one.weights[0, :, 0], [[-4, 2, 1], [0, 2, 1]])
    assert (two.layer, two.shape, two.reads_image, two.limit) == ("conv2", (1, 2, 3, 2), False, 3)
    assert (two.outputs.tolist(), two.inputs.tolist()) == ([1, 0], [2, 0, 1])
    np.testing.assert_array_equal(two.weights[0, 0], [[-3, 0], [0, 1], [0, 0]])


def test_many_channels_are_cut():
    model = models.create(Cnn(features=(40, 70), dense=()), 2)
    variables = model.init(jax.random.key(0), (16, 16, 1))
    second = learned_kernels(model, variables, (16, 16, 1))[1]
    assert second.weights.shape == (3, 3, SEEN_INPUTS, SEEN_OUTPUTS)
    norms = np.linalg.norm(np.asarray(variables["params"]["conv2"]["kernel"]).reshape(-1, 70), axis=0)
    assert norms.argmax() == second.outputs[0]
    assert set(second.outputs) == set(np.argsort(-norms)[:SEEN_OUTPUTS])


@pytest.mark.parametrize("connection", ["table", "full"])
def test_connections_of_lenet(connection):
    """The table has 60 connections; map 0 of C3 sees the maps 0, 1 and 2 of S2 alone."""
    model = models.create(LeNet5(connection=connection), 10)
    variables = model.init(jax.random.key(0), (28, 28, 1))
    names = [each.layer for each in learned_kernels(model, variables, (28, 28, 1))]
    assert names == ["C1", "C3", "C5"]
    c1, c3, _ = learned_kernels(model, variables, (28, 28, 1))
    assert c1.reads_image  # the pad before it passes the image on
    assert c3.shape == (5, 5, 6, 16)
    connected = (c3.weights != 0).any(axis=(0, 1))
    assert connected.sum() == (60 if connection == "table" else 96)
    if connection == "table":
        assert sorted(c3.inputs[connected[:, c3.outputs.tolist().index(0)]]) == [0, 1, 2]
