"""Mixup and cutmix: the targets follow the pixels exactly."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnn_jax.data.device.mixing import cutmix, mix, mixup


def numbered(count, height=8, width=12):
    """Images whose pixels all say which image they are of, and one class for each image."""
    numbers = jnp.arange(count, dtype=jnp.float32)
    return jnp.broadcast_to(numbers[:, None, None, None], (count, height, width, 1)), jnp.eye(count)


def shares_of(targets):
    """Each image's own share, where the rest belongs to the image before it."""
    targets = np.asarray(targets)
    count = len(targets)
    own = targets[np.arange(count), np.arange(count)]
    partners = targets[np.arange(count), np.arange(count) - 1]
    np.testing.assert_allclose(own + partners, 1, rtol=1e-6)
    assert ((targets > 0).sum(axis=1) <= 2).all()
    return own


def test_mixup_by_hand():
    images = jnp.asarray([[[[1.0, -2.0]]], [[[3.0, 2.0]]], [[[5.0, 0.0]]]])
    targets = jnp.asarray([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]])
    mixed_images, mixed_targets = mixup(images, targets, jnp.asarray([0.75, 0.5, 1.0]))
    # the first's partner is the last, every other's the one before
    assert mixed_images[:, 0, 0].tolist() == [[2.0, -1.5], [2.0, 0.0], [5.0, 0.0]]
    assert mixed_targets.tolist() == [[1.0, 0.0], [0.5, 0.5], [1.0, 0.0]]


@pytest.mark.parametrize("alpha", [0.2, 1.0])
def test_shares_are_from_the_beta_distribution(alpha):
    images, targets = numbered(1500, 2, 2)
    mixed_images, mixed_targets = mix(jax.random.key(0), images, targets, alpha, 0.0)
    shares = shares_of(mixed_targets)
    numbers = np.arange(1500)
    blended = shares * numbers + (1 - shares) * np.roll(numbers, 1)
    np.testing.assert_allclose(mixed_images[:, 0, 0, 0], blended, rtol=1e-5, atol=1e-3)  # float32 up to 1500
    # Beta(alpha, alpha) has mean 1/2 and variance 1 / (4 (2 alpha + 1)); a squared distance from the mean is at most
    # 1/4, so its deviation at most 1/8.
    variance = 1 / (4 * (2 * alpha + 1))
    assert abs(shares.mean() - 0.5) < 5 * np.sqrt(variance / 1500)
    assert abs(((shares - 0.5) ** 2).mean() - variance) < 5 * 0.125 / np.sqrt(1500)


def test_a_tiny_alpha_leaves_one_of_the_two():
    shares = shares_of(mix(jax.random.key(0), *numbered(1500, 2, 2), 1e-4, 0.0)[1])
    assert (np.minimum(shares, 1 - shares) < 1e-6).mean() > 0.95
    assert 650 < (shares > 0.5).sum() < 850  # half of 1500, with a deviation of 19


def test_cutmix_targets_are_the_areas():
    images, targets = numbered(1500)
    drawn = np.random.default_rng(0).uniform(0, 1, 1500).astype(np.float32)
    mixed_images, mixed_targets = cutmix(jax.random.key(1), images, targets, jnp.asarray(drawn))
    inner = 0
    for number, (image, share) in enumerate(zip(np.asarray(mixed_images), shares_of(mixed_targets), strict=True)):
        pasted = image[..., 0] == (number - 1) % 1500
        assert (pasted | (image[..., 0] == number)).all()
        assert share == pytest.approx(1 - pasted.mean(), abs=1e-6)
        rows, columns = (np.flatnonzero(pasted.any(axis=axis)) for axis in (1, 0))
        height, width = (int(np.sqrt(1 - drawn[number]) * size) for size in (8, 12))
        assert len(rows) <= height
        assert len(columns) <= width
        if not height:
            assert not pasted.any()
            continue
        assert pasted[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].all()
        if rows[0] > 0 and rows[-1] < 7 and columns[0] > 0 and columns[-1] < 11:  # nothing hangs over
            inner += 1
            assert (len(rows), len(columns)) == (height, width)
    assert inner > 50


def test_the_share_that_cutmix_pastes():
    # A side of s times the size, its centre anywhere, loses s^2 / 4 over the edges on average. With 1 - s^2 uniform the
    # expected area is E[(s - s^2 / 4)^2] = E[s^2] - E[s^3] / 2 + E[s^4] / 16 = 1/2 - 1/5 + 1/48.
    drawn = jnp.asarray(np.random.default_rng(1).uniform(0, 1, 1000), jnp.float32)
    pasted = 1 - shares_of(cutmix(jax.random.key(2), *numbered(1000, 64, 64), drawn)[1])
    # cutting to whole pixels takes half a pixel of each side on average: up to 2 * 0.5 / 64 of the area
    assert abs(pasted.mean() - (1 / 2 - 1 / 5 + 1 / 48)) < 5 * pasted.std() / np.sqrt(1000) + 1 / 64


def test_each_batch_is_mixed_in_one_way_and_both_occur():
    images, targets = numbered(16)
    mixed = jax.jit(functools.partial(mix, mixup_alpha=1.0, cutmix_alpha=1.0))
    blended = 0
    for seed in range(60):
        pixels = np.asarray(mixed(jax.random.key(seed), images, targets)[0])
        # Blended images are of one value each; all sixteen pasted ones never are.
        flat = (pixels == pixels[:, :1, :1]).all()
        assert flat or np.array_equal(pixels, np.round(pixels))
        blended += flat
    assert 30 - 5 * 3.9 < blended < 30 + 5 * 3.9  # a fair coin, with a deviation of sqrt(60) / 2
