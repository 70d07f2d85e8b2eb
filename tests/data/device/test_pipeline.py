"""Order, batches and normalisation on the device."""

import tracemalloc

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnn_jax.config import FashionMnist
from cnn_jax.data.device import pipeline
from cnn_jax.data.split import Split


def numbered(count):
    images = jnp.arange(count, dtype=jnp.uint8)[:, None, None, None]
    scaled = pipeline.Preprocessing(pipeline.Normalization(jnp.zeros(1), jnp.full(1, 255.0)))
    return pipeline.DeviceSplit(images, jnp.arange(count, dtype=jnp.int32), scaled)


@pytest.mark.parametrize(("examples", "batch_size", "steps"), [(10, 5, 2), (10, 4, 3), (3, 3, 1), (7, 1, 7)])
def test_an_epoch_takes_in_every_example_once(examples, batch_size, steps):
    order = pipeline.epoch_order(jax.random.key(0), examples, batch_size)
    assert order.shape == (steps, batch_size)
    seen = []
    for step in range(steps):
        pixels, labels, weights, _ = pipeline.take(numbered(examples), order, jnp.int32(step))
        assert np.array_equal(pixels[:, 0, 0, 0], labels)
        seen += [int(label) for label, weight in zip(labels, weights, strict=True) if weight]
    assert sorted(seen) == list(range(examples))


def test_orders_differ_by_key_and_repeat_by_key():
    orders = [pipeline.epoch_order(jax.random.key(seed), 100, 10) for seed in (0, 0, 1)]
    assert np.array_equal(orders[0], orders[1])
    assert not np.array_equal(orders[0], orders[2])


def test_scale_divides_by_255():
    split = Split(np.array([[[[0], [51]], [[102], [255]]]], np.uint8), np.zeros(1, np.int32))
    constants = pipeline.normalization(FashionMnist(), split)
    normalised = pipeline.normalize(jnp.asarray(split.images), constants)
    np.testing.assert_allclose(normalised.ravel(), [0, 0.2, 0.4, 1.0], rtol=1e-6)


def test_standardize_uses_each_channels_statistics():
    rng = np.random.default_rng(0)
    split = Split(rng.integers(0, 256, (20, 5, 4, 3)).astype(np.uint8), np.zeros(20, np.int32))
    constants = pipeline.normalization(FashionMnist(normalize="standardize"), split)
    np.testing.assert_allclose(constants.mean, split.images.mean(axis=(0, 1, 2)), rtol=1e-6)
    np.testing.assert_allclose(constants.std, split.images.std(axis=(0, 1, 2)), rtol=1e-6)
    normalised = pipeline.normalize(jnp.asarray(split.images), constants)
    np.testing.assert_allclose(normalised.mean(axis=(0, 1, 2)), 0, atol=1e-5)
    np.testing.assert_allclose(normalised.std(axis=(0, 1, 2)), 1, rtol=1e-5)


def test_a_constant_channel_stays_finite():
    split = Split(np.full((2, 3, 3, 1), 9, np.uint8), np.zeros(2, np.int32))
    constants = pipeline.normalization(FashionMnist(normalize="standardize"), split)
    assert np.array_equal(pipeline.normalize(jnp.asarray(split.images), constants), np.zeros((2, 3, 3, 1)))


def test_colours_are_the_covariances_components():
    rng = np.random.default_rng(0)
    images = (rng.standard_normal((7, 5, 4, 3)) @ [[30, 20, 5], [0, 10, 10], [0, 0, 4]] + 120).clip(0, 255)
    split = Split(images.astype(np.uint8), np.zeros(7, np.int32))
    colours = pipeline.colours(split)
    pixels = split.images.reshape(-1, 3)
    np.testing.assert_allclose(colours.mean, pixels.mean(axis=0), rtol=1e-6)
    values, vectors = (np.asarray(array, np.float64) for array in (colours.eigenvalues, colours.eigenvectors))
    assert (np.diff(values) < 0).all()
    np.testing.assert_allclose(vectors.T @ vectors, np.eye(3), atol=1e-6)
    np.testing.assert_allclose(vectors @ np.diag(values) @ vectors.T, np.cov(pixels.T / 255, bias=True), atol=1e-8)
    assert (vectors[np.abs(vectors).argmax(axis=0), range(3)] > 0).all()


def test_colours_by_hand():
    # Red and green rise together, 51 and 204 of 255 (0.2 and 0.8: variance 0.09 each and between them); blue stays.
    split = Split(np.array([[[[51, 51, 7], [204, 204, 7]]]], np.uint8), np.zeros(1, np.int32))
    colours = pipeline.colours(split)
    np.testing.assert_allclose(colours.mean, [127.5, 127.5, 7])
    np.testing.assert_allclose(colours.eigenvalues, [0.18, 0, 0], atol=1e-9)
    np.testing.assert_allclose(colours.eigenvectors[:, 0], [0.5**0.5, 0.5**0.5, 0], atol=1e-6)


def test_colours_of_grey_images_are_their_brightness():
    split = Split(np.array([[[[0], [255]]]], np.uint8), np.zeros(1, np.int32))
    mean, values, vectors = pipeline.colours(split)
    assert (mean.tolist(), values.tolist(), vectors.tolist()) == ([127.5], [0.25], [[1.0]])


@pytest.mark.parametrize(
    "shape", [(1, 1, 1, 1), (3, 700, 900, 3), (5000, 28, 28, 1), (40, 200, 200, 3), (2, 1500, 1500, 1)]
)
def test_standardizing_counts_in_parts_with_the_same_bits(shape):
    images = np.random.default_rng(1).integers(0, 256, shape).astype(np.uint8)
    tracemalloc.start()
    try:
        constants = pipeline.normalization(
            FashionMnist(normalize="standardize"), Split(images, np.zeros(len(images), np.int32))
        )
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    for channel in range(shape[-1]):
        counts = np.bincount(images[..., channel].ravel(), minlength=256)
        total, pixels = counts.sum(), np.arange(256)
        mean = counts @ pixels / total
        std = np.sqrt(max(counts @ pixels**2 / total - mean**2, 1.0))
        assert constants.mean[channel] == np.float32(mean)
        assert constants.std[channel] == np.float32(std)
    largest_image = images[0].nbytes
    assert peak < 10 * max(1 << 20, largest_image) + 1e6, "not eight bytes for every pixel"
