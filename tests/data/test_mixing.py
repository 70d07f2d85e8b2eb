"""Mixup and cutmix: the targets follow the pixels exactly."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnn_jax.data.mixing import cutmix, mix, mixup


def numbered(count, height=8, width=12):
    """Images whose pixels all say which image they are of, and one class for each image."""
    numbers = jnp.arange(count, dtype=jnp.float32)
    return jnp.broadcast_to(numbers[:, None, None, None], (count, height, width, 2)), jnp.eye(count)


def shares_of(targets):
    """Each image's own share, where the rest belongs to the image before it."""
    count = len(targets)
    own = targets[np.arange(count), np.arange(count)]
    partners = targets[np.arange(count), np.arange(count) - 1]
    np.testing.assert_allclose(own + partners, 1, rtol=1e-6)
    assert ((targets > 0).sum(axis=1) <= 2).all()
    return own


@pytest.mark.parametrize("alpha", [0.2, 1.0])
def test_mixup_blends_pixels_and_targets_alike(alpha):
    images, targets = numbered(1500, 2, 2)
    mixed_images, mixed_targets = (np.asarray(array) for array in mixup(jax.random.key(0), images, targets, alpha))
    shares = shares_of(mixed_targets)
    for number, (image, share) in enumerate(zip(mixed_images, shares, strict=True)):
        partner = number - 1 if number else 1499
        np.testing.assert_allclose(image, share * number + (1 - share) * partner, rtol=1e-5)
    # Beta(alpha, alpha) has mean 1/2 and variance 1 / (4 (2 alpha + 1)); a squared distance from the mean, which is at
    # most 1/4, has a deviation of at most 1/8.
    variance = 1 / (4 * (2 * alpha + 1))
    assert abs(shares.mean() - 0.5) < 5 * np.sqrt(variance / 1500)
    assert abs(((shares - 0.5) ** 2).mean() - variance) < 5 * 0.125 / np.sqrt(1500)


def test_tiny_alphas_leave_one_of_the_two():
    images, targets = numbered(200, 2, 2)
    for change in (mixup, cutmix):
        shares = shares_of(np.asarray(change(jax.random.key(0), images, targets, 1e-4)[1]))
        assert np.isfinite(shares).all()
        assert (np.minimum(shares, 1 - shares) < 0.01).mean() > 0.9 or change is cutmix


def test_cutmix_targets_are_the_areas():
    images, targets = numbered(1500)
    mixed_images, mixed_targets = (np.asarray(array) for array in cutmix(jax.random.key(1), images, targets, 1.0))
    shares = shares_of(mixed_targets)
    whole = inner = 0
    for number, (image, share) in enumerate(zip(mixed_images, shares, strict=True)):
        partner = number - 1 if number else 1499
        pasted = image == partner
        assert (pasted | (image == number)).all()
        assert share == pytest.approx(1 - pasted.mean(), abs=1e-6)
        rows, columns = (np.flatnonzero(pasted.any(axis=axes)) for axes in ((1, 2), (0, 2)))
        if len(rows):
            assert pasted[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].all()
            if rows[0] > 0 and rows[-1] < 7 and columns[0] > 0 and columns[-1] < 11:
                inner += 1  # nothing hangs over: the aspect is the image's, 12 / 8, up to the cutting to whole pixels
                assert len(columns) in {int(1.5 * len(rows)) + extra for extra in (0, 1)}
        else:
            whole += 1
    assert inner > 50
    # Height and width are 8 and 12 times sqrt(1 - share), cut to whole pixels: none is left below 1/64.
    assert abs(whole - 1500 / 64) < 5 * np.sqrt(1500 / 64)


def test_the_share_that_cutmix_pastes():
    # On large images: E[h w] for sides s H, s W with s^2 uniform, centres uniform. A side of s reaches over the edge by
    # s^2 / 4 of the size on average: the expected area is E[(s - s^2 / 4)^2] = E[s^2] - E[s^3] / 2 + E[s^4] / 16.
    images, targets = numbered(2000, 64, 64)
    shares = shares_of(np.asarray(cutmix(jax.random.key(2), images[..., :1], targets, 1.0)[1]))
    expected = 1 / 2 - (2 / 5) / 2 + (1 / 3) / 16
    # cutting to whole pixels takes half a pixel of each side: up to 2 * 0.5 / 64 of the area
    assert abs((1 - shares).mean() - expected) < 5 * shares.std() / np.sqrt(2000) + 1 / 64


def test_each_batch_is_mixed_in_one_way_and_both_occur():
    images, targets = numbered(16)
    both = jax.jit(lambda key: mix(key, images, targets, 1.0, 1.0))
    blended = 0
    for seed in range(60):
        mixed, _ = both(jax.random.key(seed))
        fractions = bool((mixed != jnp.round(mixed)).any())
        blended += fractions
    assert 30 - 5 * 3.9 < blended < 30 + 5 * 3.9  # a fair coin, with a deviation of sqrt(60) / 2
    key = jax.random.key(0)
    for alphas, change in (((0.3, 0.0), mixup), ((0.0, 0.3), cutmix)):
        for ours, theirs in zip(mix(key, images, targets, *alphas), change(key, images, targets, 0.3), strict=True):
            assert np.array_equal(ours, theirs)
