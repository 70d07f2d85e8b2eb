"""Augmentation: every image is one of the changes it may be, and all of them occur."""

import jax
import jax.numpy as jnp
import numpy as np

from cnn_jax.config import FashionMnist
from cnn_jax.data.augment import augment, random_flip, random_shift

PICTURE = np.arange(1, 13, dtype=np.uint8).reshape(1, 3, 4, 1)


def test_flip_mirrors_about_half():
    flipped = np.asarray(random_flip(jax.random.key(0), jnp.asarray(np.repeat(PICTURE, 400, axis=0))))
    mirrored = (flipped == PICTURE[:, :, ::-1]).all(axis=(1, 2, 3))
    assert ((flipped == PICTURE).all(axis=(1, 2, 3)) | mirrored).all()
    assert 150 < mirrored.sum() < 250  # 200 with a deviation of 10


def test_shift_moves_by_every_offset_and_lets_zeros_in():
    shifted = np.asarray(random_shift(jax.random.key(1), jnp.asarray(np.repeat(PICTURE, 500, axis=0)), 1))
    padded = np.pad(PICTURE[0, :, :, 0], 1)
    possible = {padded[row : row + 3, column : column + 4].tobytes() for row in range(3) for column in range(3)}
    assert {image[:, :, 0].tobytes() for image in shifted} == possible


def test_nothing_asked_nothing_done():
    images = jnp.asarray(np.repeat(PICTURE, 3, axis=0))
    assert np.array_equal(augment(jax.random.key(0), images, FashionMnist()), images)


def test_the_key_decides():
    images = jnp.asarray(np.repeat(PICTURE, 50, axis=0))
    config = FashionMnist(flip=True, shift=2)
    results = [np.asarray(augment(jax.random.key(seed), images, config)) for seed in (0, 0, 1)]
    assert np.array_equal(results[0], results[1])
    assert not np.array_equal(results[0], results[2])
