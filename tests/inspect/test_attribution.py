"""Gradients of logits: exact values worked out by hand, and integrals that sum to what they must."""

import math
import threading

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from support.gradients import applied, pull_back

from cnn_jax import models, ops
from cnn_jax.config.model import Cnn, LeNet5
from cnn_jax.inspect import attribution
from cnn_jax.inspect.attribution import (
    deconvnet,
    gradient,
    gradient_times_input,
    guided_backprop,
    integrated_gradients,
    smooth_grad,
)
from cnn_jax.ops import GeometryError

# Of two classes, to the pixels of a 2x2 map.
WEIGHTS = np.array([[1, 0], [2, -1], [3, 1], [-4, 5]], np.float32)
IMAGE = np.array([[1, 2], [3, 4]], np.float32)[None, :, :, None]


def pixelwise(activation, scale, shift):
    """A network of one 1x1 convolution, an activation and the logits."""
    config = Cnn(features=(1,), kernel_size=1, pooling="none", dense=(), activation=activation)
    params = {
        "conv1": {"kernel": jnp.full((1, 1, 1, 1), scale, jnp.float32), "bias": jnp.array([shift], jnp.float32)},
        "head": {"logits": {"kernel": jnp.asarray(WEIGHTS), "bias": jnp.array([7.0, -7.0])}},
    }
    return models.create(config, 2), {"params": params}


@pytest.fixture(scope="module")
def small():
    """Two stages, the first of which is fused when nobody looks; and five images of three classes."""
    model = models.create(Cnn(features=(3, 4), pooling=("max", "avg"), dense=(5,)), 3)
    variables = model.init(jax.random.key(1), (12, 12, 2))
    images = np.random.default_rng(0).standard_normal((5, 12, 12, 2)).astype(np.float32)
    return model, variables, images, np.array([0, 1, 2, 1, 0])


def scores(model, variables, images, classes):
    logits = applied(model, variables, jnp.asarray(images, jnp.float32), False)[0]
    return np.asarray(logits, np.float64)[np.arange(len(classes)), classes]


def test_a_linear_network_by_hand():
    model, variables = pixelwise("identity", scale=2, shift=1)
    images, classes = np.concatenate([IMAGE, -IMAGE]), np.array([0, 1])
    expected = 2 * WEIGHTS.T.reshape(2, 2, 2, 1)
    np.testing.assert_array_equal(gradient(model, variables, images, classes), expected)
    np.testing.assert_array_equal(gradient_times_input(model, variables, images, classes), expected * images)
    smooth = smooth_grad(model, variables, images, classes, jax.random.key(0), samples=4)
    np.testing.assert_array_equal(smooth, expected)
    for baseline in (0.0, 1.0, np.array([[[3.0]], [[-2.0]]])):
        result = integrated_gradients(model, variables, images, classes, baseline, steps=3)
        np.testing.assert_allclose(result.attributions, expected * (images - baseline), rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(result.completeness_error, 0, atol=1e-4)
    # The sum of the weights is 2 for the first class and 5 for the second; a pixel x counts as 2x + 1.
    first = [2 * (1 * 1 + 2 * 2 + 3 * 3 - 4 * 4) + 2 + 7, 2 * (2 * 1 - 3 * 1 - 4 * 5) + 5 - 7]
    np.testing.assert_array_equal(integrated_gradients(model, variables, images, classes).logits, first)
    np.testing.assert_array_equal(integrated_gradients(model, variables, images, classes).baseline_logits, [9, -2])


def test_rectifiers_by_hand():
    """The rectifiers see x - 2, which is -1, 0, 1 and 2, and the signals 1, 2, 3 and -4."""
    model, variables = pixelwise("relu", scale=1, shift=-2)
    expected = {gradient: [0, 0, 3, -4], guided_backprop: [0, 0, 3, 0], deconvnet: [1, 2, 3, 0]}
    for method, values in expected.items():
        np.testing.assert_array_equal(method(model, variables, IMAGE, np.array([0])).ravel(), values)


def test_smooth_gradients_of_a_rectifier_are_its_chances_to_be_open():
    model, variables = pixelwise("relu", scale=1, shift=-2)
    # The range of the image is 3, so that the noise has the standard deviation 0.5.
    result = smooth_grad(model, variables, IMAGE, np.array([0]), jax.random.key(0), noise=0.5 / 3, samples=400)
    chances = np.array([(1 + math.erf((x - 2) / 0.5 / math.sqrt(2))) / 2 for x in (1, 2, 3, 4)])
    # Four standard deviations of a mean of 400.
    np.testing.assert_array_less(
        np.abs(result.ravel() / WEIGHTS[:, 0] - chances), 4 * np.sqrt(chances * (1 - chances) / 400) + 1e-3
    )


def test_smooth_gradients_repeat(small):
    model, variables, images, classes = small
    first = smooth_grad(model, variables, images, classes, jax.random.key(3), samples=3)
    np.testing.assert_array_equal(first, smooth_grad(model, variables, images, classes, jax.random.key(3), samples=3))
    assert (first != smooth_grad(model, variables, images, classes, jax.random.key(4), samples=3)).any()
    same = np.repeat(images[:1], 2, axis=0)  # and two equal images have noise of their own
    two = smooth_grad(model, variables, same, np.array([0, 0]), jax.random.key(3), samples=3)
    assert (two[0] != two[1]).any()
    np.testing.assert_allclose(two[0], first[0], rtol=1e-4, atol=1e-6)
    none = smooth_grad(model, variables, images, classes, jax.random.key(3), noise=0.0, samples=2)
    np.testing.assert_allclose(none, gradient(model, variables, images, classes), rtol=1e-5, atol=1e-7)


def layer_by_layer(params, images):
    x = ops.conv2d(images, params["conv1"]["kernel"], padding="VALID") + params["conv1"]["bias"]
    x = ops.max_pool(ops.relu(x), 2)
    x = ops.relu(ops.conv2d(x, params["conv2"]["kernel"], padding="VALID") + params["conv2"]["bias"])
    x = ops.avg_pool(x, 2).reshape(len(images), -1)
    x = ops.relu(x @ params["head"]["dense1"]["kernel"] + params["head"]["dense1"]["bias"])
    return x @ params["head"]["logits"]["kernel"] + params["head"]["logits"]["bias"]


@pytest.mark.parametrize(
    ("method", "backward"), [(gradient, "gradient"), (guided_backprop, "guided"), (deconvnet, "deconvnet")]
)
def test_methods_are_vector_jacobian_products(small, method, backward):
    model, variables, images, classes = small
    with ops.relu_backward(backward):
        one_hot = jax.nn.one_hot(classes, 3)
        _, (expected,) = pull_back(lambda images: layer_by_layer(variables["params"], images), one_hot, images)
    assert jnp.any(expected)
    ours = method(model, variables, images, classes)
    np.testing.assert_allclose(ours, expected, rtol=1e-4, atol=1e-6)


def test_integrated_gradients_are_complete(small):
    model, variables, images, classes = small
    black = np.full((1, 1, 2), -0.5, np.float32)
    difference = scores(model, variables, images, classes) - scores(
        model, variables, np.broadcast_to(black, images.shape), classes
    )
    result = integrated_gradients(model, variables, images, classes, black, steps=300)
    sums = result.attributions.sum((1, 2, 3), dtype=np.float64)
    # Gradients jump where rectifiers open, each jump a 300th of the line wide.
    np.testing.assert_allclose(sums, difference, atol=0.01 * np.abs(difference).max())
    np.testing.assert_allclose(result.completeness_error, sums - difference, atol=1e-5)
    coarse = integrated_gradients(model, variables, images, classes, black, steps=1)
    error = coarse.attributions.sum((1, 2, 3)) - difference
    np.testing.assert_allclose(coarse.completeness_error, error, atol=1e-5)
    assert np.abs(error).max() > 10 * np.abs(result.completeness_error).max()


def test_integrated_gradients_of_a_smooth_network_are_complete_with_few_steps():
    model = models.create(LeNet5(features=(2, 3, 4), dense=(5,)), 3)
    variables = model.init(jax.random.key(0), (28, 28, 1))
    images = np.random.default_rng(1).standard_normal((2, 28, 28, 1))
    classes = np.array([2, 0])
    result = integrated_gradients(model, variables, images, classes, steps=20)
    difference = scores(model, variables, images, classes) - scores(model, variables, 0 * images, classes)
    assert np.abs(difference).min() > 0.01
    np.testing.assert_allclose(result.attributions.sum((1, 2, 3)), difference, rtol=1e-3)
    with pytest.raises(ValueError, match="guided changes the backward pass of rectifiers, and this network has none"):
        guided_backprop(model, variables, images, classes)


def test_batches_are_bounded_and_one_program_serves_all(small, monkeypatch):
    monkeypatch.setenv("NPROC", "1")
    model, variables, images, classes = small
    whole = gradient(model, variables, images, classes)
    smooth = smooth_grad(model, variables, images, classes, jax.random.key(0), samples=2)
    integrated = integrated_gradients(model, variables, images, classes, steps=2)
    monkeypatch.setattr(attribution, "BATCH_PIXELS", 3 * 144 + 1)
    assert attribution.batch_size((12, 12), 5) == 3
    traced, apply = [], models.Model.apply

    def watched(self, variables, images, train):
        traced.append(len(images))
        return apply(self, variables, images, train)

    monkeypatch.setattr(models.Model, "apply", watched)
    close = {"rtol": 1e-4, "atol": 1e-6}
    np.testing.assert_allclose(gradient(model, variables, images, classes), whole, **close)
    parts = smooth_grad(model, variables, images, classes, jax.random.key(0), samples=2)
    np.testing.assert_allclose(parts, smooth, **close)
    parts = integrated_gradients(model, variables, images, classes, steps=2)
    for ours, expected in zip(parts, integrated, strict=True):
        np.testing.assert_allclose(ours, expected, **close)
    assert traced == [3]
    assert attribution.batch_size((2000, 2000), 5) == 1
    assert attribution.batch_size((2, 2), 1000) == attribution.LARGEST_BATCH


@pytest.mark.parametrize(
    ("cores", "size", "count", "entries"),
    [(1, 8, 37, 8), (2, 8, 37, 4), (2, 8, 5, 3), (2, 1, 3, 1), (16, 8, 37, 1), (3, 8, 37, 2), (2, 10, 1, 1)],
)
def test_batches_computed_at_once_have_the_size_together(monkeypatch, cores, size, count, entries):
    monkeypatch.setenv("NPROC", str(cores))
    lengths = []

    def compute(part):
        lengths.append(len(part))
        return 2 * part

    doubled = attribution.apply_in_batches(compute, size, np.arange(count))
    np.testing.assert_array_equal(doubled, 2 * np.arange(count))
    assert set(lengths) == {entries}
    assert len(lengths) == -(-count // entries)
    assert entries * min(cores, size, count) <= size


def test_batches_are_computed_at_once_in_the_callers_context(monkeypatch):
    monkeypatch.setenv("NPROC", "2")
    both = threading.Barrier(2)

    def compute(part):
        both.wait(timeout=60)
        assert ops.has_relu_backward()
        return part

    with ops.relu_backward("guided"):
        attribution.apply_in_batches(compute, 2, np.arange(4))
    with pytest.raises(ZeroDivisionError):
        attribution.apply_in_batches(lambda part: 1 // 0, 2, np.arange(4))


def test_bad_input(small):
    model, variables, images, classes = small
    with pytest.raises(ValueError, match="class 3: expected 0 to 2, the network's classes"):
        gradient(model, variables, images, np.array([0, 1, 3, 0, 0]))
    with pytest.raises(ValueError, match="class -1: expected 0 to 2"):
        gradient(model, variables, images, -np.ones(5, int))
    with pytest.raises(ValueError, match=r"classes of the shape \(2,\) .* expected 5 integers"):
        gradient(model, variables, images, classes[:2])
    with pytest.raises(ValueError, match="the type float64: expected 5 integers"):
        gradient(model, variables, images, classes.astype(float))
    with pytest.raises(ValueError, match=r"images with shape \(12, 12, 2\): expected"):
        gradient(model, variables, images[0], classes[:1])
    with pytest.raises(ValueError, match=r"images with shape \(0, 12, 12, 2\)"):
        gradient(model, variables, images[:0], classes[:0])
    with pytest.raises(ValueError, match=r"images of 12x12x1: .* conv1/kernel of the shape \(3, 3, 1, 3\)"):
        gradient(model, variables, images[..., :1], classes)
    with pytest.raises(ValueError, match=r"images of 20x20x2: .* head/dense1/kernel of the shape"):
        gradient(model, variables, np.zeros((5, 20, 20, 2)), classes)
    with pytest.raises(GeometryError, match="layer"):
        gradient(model, variables, images[:, :3, :3], classes)
    with pytest.raises(ValueError, match="images have pixels that are not finite"):
        gradient(model, variables, np.where(images > 2, np.nan, images), classes)
    diverged = jax.tree.map(lambda leaf: leaf * np.nan, variables)
    with pytest.raises(ValueError, match="logits or gradients that are not finite"):
        gradient(model, diverged, images, classes)
    with pytest.raises(ValueError, match="steps=0: expected at least 1"):
        integrated_gradients(model, variables, images, classes, steps=0)
    with pytest.raises(
        ValueError, match=r"baseline of the shape \(3,\): expected a number, or a shape that broadcasts"
    ):
        integrated_gradients(model, variables, images, classes, np.zeros(3))
    with pytest.raises(ValueError, match="baseline has pixels that are not finite"):
        integrated_gradients(model, variables, images, classes, np.inf)
    with pytest.raises(ValueError, match="samples=0"):
        smooth_grad(model, variables, images, classes, jax.random.key(0), samples=0)
    with pytest.raises(ValueError, match="noise=-1"):
        smooth_grad(model, variables, images, classes, jax.random.key(0), noise=-1)
