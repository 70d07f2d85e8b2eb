"""Activation maximisation beside the known maximiser of a linear filter, and what it promises of any network."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnn_jax import models
from cnn_jax.config.model import Cnn
from cnn_jax.data.device.pipeline import Normalization
from cnn_jax.inspect.activation_maximization import Search, maximize, responses

SCALE = Normalization(jnp.zeros(1), jnp.full(1, 255.0))
STILL = {"jitter": 0.0, "scale": 0.0, "rotation": 0.0}


def linear(kernel, bias):
    """A network whose layer conv1 is a single convolution [h, w, 1, n]."""
    config = Cnn(features=(kernel.shape[-1],), kernel_size=kernel.shape[:2], pooling="none", dense=())
    model = models.create(config, 2)
    variables = jax.tree.map(jnp.zeros_like, dict(model.init(jax.random.key(0), (13, 13, 1))))
    variables["params"]["conv1"] = {"kernel": jnp.asarray(kernel), "bias": jnp.asarray(bias)}
    return model, variables


def test_the_maximiser_of_a_linear_filter_is_its_kernel():
    """Among pixels from 0 to 255 it is white where the weight is positive and black where it is negative."""
    kernel = np.random.default_rng(3).choice([-1.0, 1.0], (5, 5, 1, 2)).astype(np.float32)
    bias = np.array([0.5, -20.0], np.float32)
    model, variables = linear(kernel, bias)
    (found,) = maximize(
        model, variables, SCALE, (13, 13, 1), {"conv1": (1, 0)}, jax.random.key(0), Search("centre", 80, **STILL)
    )
    assert found.layer == "conv1"
    assert found.pictures.shape == (2, 13, 13, 1)
    assert found.pictures.dtype == np.uint8
    for place, channel in enumerate((1, 0)):
        weights = kernel[..., 0, channel]
        patch = found.pictures[place, 4:9, 4:9, 0].astype(float)  # the middle of 9x9 outputs is (4, 4)
        np.testing.assert_array_equal(patch > 127.5, weights > 0)
        cosine = np.sum((patch - 127.5) * weights) / np.linalg.norm(patch - 127.5) / np.linalg.norm(weights)
        assert cosine > 0.99
        by_hand = np.sum(patch / 255 * weights) + bias[channel]
        assert found.responses[place] == pytest.approx(by_hand, abs=1e-4)
        most = weights[weights > 0].sum() + bias[channel]
        start = np.sum(weights) / 2 + bias[channel]  # of grey
        assert found.start_responses[place] == pytest.approx(start, abs=0.3)
        assert most - 0.05 * (most - start) < found.responses[place] <= most


def test_a_silent_channel_is_woken():
    """An edge filter with a negative bias responds to no grey picture, so that the gradient of its ReLU is 0."""
    kernel = np.array([[-1, 0, 1]] * 3, np.float32)[..., None, None]
    model, variables = linear(kernel, np.array([-1.0], np.float32))
    (found,) = maximize(model, variables, SCALE, (13, 13, 1), {"conv1": (0,)}, jax.random.key(0))
    assert found.start_responses == [0]
    assert found.responses > 2 / 11  # a single edge from black to white gives 2 in two of eleven columns, and half here
    along_columns = np.abs(np.diff(found.pictures[0, ..., 0].astype(float), axis=0)).mean()
    along_rows = np.abs(np.diff(found.pictures[0, ..., 0].astype(float), axis=1)).mean()
    assert along_rows > 2 * along_columns  # vertical stripes


def test_responses_by_hand():
    model, variables = linear(np.ones((1, 1, 1, 1), np.float32), np.zeros(1, np.float32))
    image = np.array([[1, -2], [3, -4]], np.float32)[None, :, :, None]
    variables["params"]["head"]["logits"] = {"kernel": jnp.array([[1.0, 0]] * 4), "bias": jnp.array([0.5, 7])}
    assert responses(model, variables, image, ["conv1"]) == {"conv1": [[1.0]]}  # (1 + 3) / 4
    assert responses(model, variables, image, ["conv1"], "centre") == {"conv1": [[-4.0]]}
    both = responses(model, variables, image, ["head/logits", "conv1/activation"])
    np.testing.assert_array_equal(both["head/logits"], [[4.5, 7]])  # after the ReLU 1 + 3, and biases
    np.testing.assert_array_equal(both["conv1/activation"], [[1.0]])


@pytest.fixture(scope="module")
def network():
    """A random network of colour images, and images' responses."""
    model = models.create(Cnn(features=(6, 8), kernel_size=3, pooling=("max", "none"), dense=()), 4)
    variables = model.init(jax.random.key(0), (12, 12, 3))
    normalization = Normalization(jnp.array([120.0, 110, 100]), jnp.array([60.0, 55, 70]))
    pixels = np.random.default_rng(0).integers(0, 256, (50, 12, 12, 3))
    images = (pixels - np.asarray(normalization.mean)) / np.asarray(normalization.std)
    return model, variables, normalization, images.astype(np.float32)


UNITS = {"conv1": (0, 5), "conv2": (3, 1), "head/logits": (2,)}


def test_responses_rise_far(network):
    model, variables, normalization, images = network
    search = Search(steps=40)
    found = maximize(model, variables, normalization, (12, 12, 3), UNITS, jax.random.key(1), search)
    usual = responses(model, variables, images, list(UNITS))
    assert [each.layer for each in found] == list(UNITS)
    for each in found:
        assert tuple(each.channels) == UNITS[each.layer]
        some = usual[each.layer][:, each.channels]
        spread = some.std(axis=0)
        assert (spread > 0).all()
        assert (each.responses > each.start_responses + 3 * spread).all()
        assert (each.responses > some.max(axis=0)).all()
        shown = (each.pictures - np.asarray(normalization.mean)) / np.asarray(normalization.std)
        again = responses(model, variables, shown.astype(np.float32), [each.layer])[each.layer]
        np.testing.assert_allclose(each.responses, again[range(len(again)), each.channels], rtol=1e-4)


def test_a_picture_depends_on_its_key_and_unit_alone(network):
    model, variables, normalization, _ = network
    search = Search(steps=3)
    whole = maximize(model, variables, normalization, (12, 12, 3), UNITS, jax.random.key(1), search)
    (alone,) = maximize(model, variables, normalization, (12, 12, 3), {"conv2": (1,)}, jax.random.key(1), search)
    difference = alone.pictures[0].astype(int) - whole[1].pictures[1]
    assert np.abs(difference).max() <= 1  # products of another batch size round otherwise
    again = maximize(model, variables, normalization, (12, 12, 3), UNITS, jax.random.key(1), search)
    for one, other in zip(whole, again, strict=True):
        np.testing.assert_array_equal(one.pictures, other.pictures)
    other = maximize(model, variables, normalization, (12, 12, 3), UNITS, jax.random.key(2), search)
    assert np.abs(whole[1].pictures.astype(int) - other[1].pictures).max() > 5
    assert np.abs(whole[1].pictures[0].astype(int) - whole[1].pictures[1]).max() > 5


@pytest.mark.parametrize(
    ("units", "message"),
    [
        ({"conv3": (0,)}, r"no layer 'conv3'; did you mean 'conv\d'\? The layers are: conv1, pool1"),
        ({"conv1": (6,)}, "channel 6 of layer 'conv1': expected 0 to 5"),
        ({"head/logits": (-1,)}, "channel -1 of layer 'head/logits': expected 0 to 3"),
        ({"conv1": ()}, "no channel"),
        ({}, "no channel"),
    ],
)
def test_unknown_units_are_refused(network, units, message):
    model, variables, normalization, _ = network
    with pytest.raises(ValueError, match=message):
        maximize(model, variables, normalization, (12, 12, 3), units, jax.random.key(0))


def test_other_pictures_than_the_networks_are_refused(network):
    model, variables, normalization, _ = network
    with pytest.raises(ValueError, match="pictures of 1 channels: expected 3"):
        maximize(model, variables, normalization, (12, 12, 1), {"conv1": (0,)}, jax.random.key(0))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"objective": "max"}, "objective='max'"),
        ({"steps": 0}, "steps=0"),
        ({"learning_rate": 0.0}, "learning_rate=0.0"),
        ({"jitter": 1.0}, "jitter=1.0"),
        ({"scale": -0.1}, "scale=-0.1"),
        ({"rotation": 200.0}, "rotation=200.0"),
    ],
)
def test_impossible_settings_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        Search(**settings)


def test_large_networks_get_fewer_steps():
    # Forward and backward passes take 6 floating-point operations for each multiply-add: 1.6e12 / (6 * 4e9 * 2) = 33.
    assert Search().shortened(multiply_adds=4 * 10**9, units=2) == Search(steps=33)
    assert Search().shortened(multiply_adds=10**12, units=2).steps == 16
    assert Search(steps=7).shortened(multiply_adds=10**12, units=2).steps == 7
    assert Search().shortened(multiply_adds=1000, units=50) == Search()
