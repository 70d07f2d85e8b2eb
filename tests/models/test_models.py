"""The registry, and exact parameter counts for every network in it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnn_jax import models
from cnn_jax.config import Cnn

# name: (config, image shape, classes, published count). The lecture prints the first.
COUNTS = {"cnn": (Cnn(), (28, 28, 1), 10, 93_322)}


def test_every_network_has_its_count():
    assert set(COUNTS) == set(models.REGISTRY)


@pytest.mark.parametrize("name", COUNTS)
def test_parameter_counts(name):
    config, image_shape, classes, count = COUNTS[name]
    shapes = jax.eval_shape(lambda key: models.create(config, classes).init(key, image_shape), jax.random.key(0))
    assert sum(leaf.size for leaf in jax.tree.leaves(shapes["params"])) == count


def test_the_lectures_network_by_hand():
    """Convolutions, pooling and dense layers in NumPy, from the definition."""
    config = Cnn(features=(2, 3), pooling=("max", "none"), dense=(4,))
    model = models.create(config, 5)
    variables = model.init(jax.random.key(1), (8, 8, 1))
    image = np.random.default_rng(0).random((1, 8, 8, 1)).astype(np.float32)
    logits, aux, stats = model.apply(variables, jnp.asarray(image), train=False)
    params = jax.tree.map(np.asarray, variables["params"])

    def convolve(x, layer):
        kernel, bias = layer["kernel"], layer["bias"]
        side = x.shape[0] - 2
        windows = [[x[i : i + 3, j : j + 3] for j in range(side)] for i in range(side)]
        return np.maximum(np.einsum("ijhwc,hwco->ijo", np.array(windows), kernel) + bias, 0)

    x = convolve(image[0], params["conv1"])
    x = x.reshape(3, 2, 3, 2, 2).max(axis=(1, 3))
    x = convolve(x, params["conv2"]).reshape(-1)
    head = params["head"]
    x = np.maximum(x @ head["dense1"]["kernel"] + head["dense1"]["bias"], 0)
    expected = x @ head["logits"]["kernel"] + head["logits"]["bias"]
    np.testing.assert_allclose(logits[0], expected, rtol=1e-5, atol=1e-6)
    assert aux == ()
    assert not stats


def test_glorot_uniform_as_keras_draws_it():
    kernel = models.create(Cnn(), 10).init(jax.random.key(0), (28, 28, 1))["params"]["conv2"]["kernel"]
    limit = np.sqrt(6 / (9 * 32 + 9 * 64))  # fan in and out count the window
    assert 0.98 * limit < float(jnp.abs(kernel).max()) <= limit
    # of 18,432 uniform draws the deviation is within 2 % of limit / sqrt(3), six of its standard errors
    assert float(kernel.std()) == pytest.approx(limit / np.sqrt(3), rel=0.02)


def test_dropout_is_for_training_alone():
    model = models.create(Cnn(features=(4,), pooling="none", dense=(64,), dropout=0.5), 10)
    variables = model.init(jax.random.key(0), (8, 8, 1))
    images = jnp.ones((2, 8, 8, 1))
    calm = [model.apply(variables, images, train=False)[0] for _ in range(2)]
    wild = [model.apply(variables, images, train=True, key=jax.random.key(seed))[0] for seed in (1, 1, 2)]
    assert np.array_equal(calm[0], calm[1])
    assert np.array_equal(wild[0], wild[1])
    assert not np.array_equal(wild[0], wild[2])


def test_an_unknown_name_lists_the_known():
    with pytest.raises(ValueError, match="expected one of: cnn"):
        models.create(Cnn.model_construct(name="cnm"), 10)
