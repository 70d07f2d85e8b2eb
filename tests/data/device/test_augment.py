"""Augmentation: every image is one of the changes it may be, all of them occur, and in their order."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnn_jax.config import Augment
from cnn_jax.data.device.augment import (
    augment,
    random_brightness,
    random_contrast,
    random_crop,
    random_flip,
    random_lighting,
    unfit,
)
from cnn_jax.data.device.pipeline import Colours, Normalization, normalize

PICTURE = np.arange(1, 13, dtype=np.uint8).reshape(1, 3, 4, 1)
CONSTANTS = Normalization(jnp.full(1, 3.0), jnp.full(1, 2.0))
GREY = Colours(jnp.full(1, 6.0), jnp.full(1, 0.01), jnp.ones((1, 1)))


def many(count):
    return jnp.asarray(np.repeat(PICTURE, count, axis=0))


def targets(count):
    return jax.nn.one_hot(jnp.arange(count) % 5, 5)


def test_flip_mirrors_about_half():
    flipped = np.asarray(random_flip(jax.random.key(0), many(400)))
    mirrored = (flipped == PICTURE[:, :, ::-1]).all(axis=(1, 2, 3))
    assert ((flipped == PICTURE).all(axis=(1, 2, 3)) | mirrored).all()
    assert 150 < mirrored.sum() < 250  # 200 with a deviation of 10


@pytest.mark.parametrize(("border", "mode"), [("zeros", "constant"), ("reflect", "reflect")])
def test_crops_move_by_every_offset_alike(border, mode):
    moved = np.asarray(random_crop(jax.random.key(1), many(900), 1, border))
    padded = np.pad(PICTURE[0, :, :, 0], 1, mode=mode)
    possible = [padded[row : row + 3, column : column + 4].tobytes() for row in range(3) for column in range(3)]
    found = [image[:, :, 0].tobytes() for image in moved]
    assert set(found) == set(possible)
    counts = [found.count(each) for each in possible]
    assert max(abs(count - 100) for count in counts) < 45  # 900 / 9, with a deviation of 9.4


def test_a_reflected_border_by_hand():
    found = {image[0, :, 0].tobytes() for image in np.asarray(random_crop(jax.random.key(0), many(99), 1, "reflect"))}
    # the first row of 1..4 / 5..8 / 9..12, mirrored at its ends, or the second where the crop begins above
    rows = [(1, 2, 3, 4), (2, 1, 2, 3), (2, 3, 4, 3), (5, 6, 7, 8), (6, 5, 6, 7), (6, 7, 8, 7)]
    assert found == {bytes(row) for row in rows}


def test_brightness_multiplies():
    pixels = jnp.asarray(np.random.default_rng(0).uniform(1, 255, (2000, 2, 3, 3)), jnp.float32)
    factors = np.asarray(random_brightness(jax.random.key(0), pixels, 0.3) / pixels)
    np.testing.assert_allclose(factors, np.broadcast_to(factors[:, :1, :1, :1], factors.shape), rtol=1e-6)
    drawn = factors[:, 0, 0, 0]
    assert 0.7 - 1e-6 <= drawn.min() < 0.71
    assert 1.29 < drawn.max() <= 1.3 + 1e-6
    assert abs(drawn.mean() - 1) < 5 * 0.3 / np.sqrt(3 * 2000)  # five standard errors of a uniform factor's mean


def test_contrast_stretches_about_the_mean():
    pixels = np.random.default_rng(0).uniform(0, 255, (2000, 3, 4, 3)).astype(np.float32)
    changed = np.asarray(random_contrast(jax.random.key(0), jnp.asarray(pixels), 0.4))
    drawn = []
    for before, after in zip(pixels, changed, strict=True):
        factor = (after.max() - after.min()) / (before.max() - before.min())
        np.testing.assert_allclose(after, before.mean() + factor * (before - before.mean()), atol=1e-3)
        drawn.append(factor)
    assert 0.6 - 1e-5 <= min(drawn) < 0.61
    assert 1.39 < max(drawn) <= 1.4 + 1e-5
    assert abs(np.mean(drawn) - 1) < 5 * 0.4 / np.sqrt(3 * 2000)


def test_lighting_steps_along_the_components():
    vectors = np.array([[2, 2, 1], [2, -1, -2], [1, -2, 2]]) / 3  # orthogonal, of length 1
    values = np.array([0.2, 0.05, 0.01])
    colours = Colours(jnp.zeros(3), jnp.asarray(values, jnp.float32), jnp.asarray(vectors, jnp.float32))
    pixels = jnp.asarray(np.random.default_rng(0).uniform(0, 255, (4000, 2, 2, 3)), jnp.float32)
    steps = np.asarray(random_lighting(jax.random.key(2), pixels, colours) - pixels)
    np.testing.assert_allclose(steps, np.broadcast_to(steps[:, :1, :1], steps.shape), atol=1e-4)
    draws = steps[:, 0, 0] @ vectors / (255 * values)  # what was drawn for each component
    assert np.abs(draws.mean(axis=0)).max() < 5 * 0.1 / np.sqrt(4000)
    # the variance's standard error is sqrt(2 / n) of it, a covariance's half a square root of two less
    np.testing.assert_allclose(np.cov(draws.T), 0.01 * np.eye(3), atol=5 * 0.01 * np.sqrt(2 / 4000))


def test_lighting_of_grey_images_is_brightness():
    steps = np.asarray(random_lighting(jax.random.key(0), many(3).astype(jnp.float32), GREY, 0.5)) - PICTURE
    draws = 0.5 * jax.random.normal(jax.random.key(0), (3, 1))
    np.testing.assert_allclose(steps[:, 0, 0], 255 * 0.01 * draws, rtol=1e-5)
    np.testing.assert_allclose(steps, np.broadcast_to(steps[:, :1, :1], steps.shape), atol=1e-5)


def test_colours_are_cut_off_once_before_normalisation():
    pixels = jnp.asarray(np.tile(np.array([0, 100, 255], np.uint8), 400).reshape(200, 2, 3, 1))
    images, _ = augment(jax.random.key(0), pixels, targets(200), Augment(brightness=1.0, contrast=1.0), CONSTANTS)
    lowest, highest = (0 - 3) / 2, (255 - 3) / 2
    assert float(images.min()) == lowest
    assert float(images.max()) == highest
    assert len(np.unique(images)) > 100


@pytest.mark.parametrize("channels", [1, 3])
def test_nothing_asked_nothing_traced(channels):
    constants = Normalization(jnp.zeros(channels), jnp.ones(channels))
    pixels = jnp.zeros((2, 4, 4, channels), jnp.uint8)
    asked_nothing = jax.make_jaxpr(lambda key, pixels, targets: augment(key, pixels, targets, Augment(), constants))(
        jax.random.key(0), pixels, targets(2)
    )
    normalised = jax.make_jaxpr(lambda key, pixels, targets: (normalize(pixels, constants), targets))(
        jax.random.key(0), pixels, targets(2)
    )
    assert str(asked_nothing) == str(normalised)


def changed(key, config, count=50):
    return [np.asarray(array) for array in augment(key, many(count), targets(count), config, CONSTANTS, GREY)]


@pytest.mark.parametrize(
    "field", [{"flip": True}, {"crop_padding": 1}, {"lighting": 0.1}, {"erasing": 0.5}, {"cutout": 2}, {"mixup": 0.4}]
)
def test_the_key_decides_each_change_for_itself(field):
    config = field | {"erasing_fill": "zero"}
    alone, again, other = (changed(jax.random.key(seed), Augment(**config))[0] for seed in (3, 3, 4))
    assert np.array_equal(alone, again)
    assert not np.array_equal(alone, other)
    if not {"cutout", "mixup"} & set(field):
        # A square of zeros comes later: what it leaves is as without it.
        both, _ = changed(jax.random.key(3), Augment(**config, cutout=2))
        left = both != 0
        assert np.array_equal(both[left], alone[left])
        assert 0 < left.mean() < 1


def test_erasing_fills_with_normalised_colours():
    whole = {"erasing": 1.0, "erasing_area": (1.0, 1.0), "erasing_aspect": (0.75, 0.75)}  # all of 3x4 pixels
    zero, mean, noise = (
        changed(jax.random.key(0), Augment(**whole, erasing_fill=fill))[0] for fill in ("zero", "mean", "random")
    )
    assert np.array_equal(zero, np.zeros_like(zero))
    assert np.array_equal(mean, np.full_like(mean, (6 - 3) / 2))
    bytes_again = noise * 2 + 3
    assert np.array_equal(bytes_again, np.round(bytes_again))
    assert 0 <= bytes_again.min() < bytes_again.max() <= 255
    assert len(np.unique(bytes_again[0])) > 6  # twelve bytes of 256


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"shift": 20}, "config.augment.shift=20 can move all of images of 20x30 pixels out of sight; use at most 19"),
        ({"crop_padding": 20}, "use at most 19"),
        ({"cutout": 59}, "config.augment.cutout=59 leaves nothing of images of 20x30 pixels; use at most 58"),
        # 0.5 of 600 pixels with an aspect above 20 / (0.5 * 30) is taller than 20
        ({"erasing": 0.1, "erasing_area": (0.5, 0.6), "erasing_aspect": (1.4, 2.0)}, "between 0.333 and 1.33"),
        ({"erasing": 0.1, "erasing_area": (0.5, 0.6), "erasing_aspect": (0.1, 0.3)}, "between 0.333 and 1.33"),
    ],
)
def test_what_cannot_work_on_the_images(fields, said):
    (fault,) = unfit(Augment(**fields), (20, 30, 3))
    assert said in fault


def test_what_just_works_on_the_images():
    config = Augment(shift=19, cutout=58, erasing=1.0, erasing_area=(0.5, 0.6), erasing_aspect=(1.3, 2.0))
    assert unfit(config, (20, 30, 3)) == []


def test_colours_of_other_channels_than_colours_are_refused_by_name():
    config = Augment(brightness=0.1, contrast=0.2, lighting=0.3, flip=True)
    assert unfit(config, (9, 9, 3)) == unfit(config, (9, 9, 1)) == []
    faults = unfit(config, (9, 9, 13))
    assert [fault.partition("=")[0].rpartition(".")[2] for fault in faults] == ["brightness", "contrast", "lighting"]
    assert "the images have 13 channels; set config.augment.lighting=0" in faults[2]
