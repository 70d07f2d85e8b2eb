"""Changes of pictures beside values worked out by hand."""

import numpy as np
import pytest

from cnn_jax.inspect.changes import CHANGES, UNITS, change, levels


@pytest.fixture(scope="module")
def pictures():
    return np.random.default_rng(0).integers(0, 256, (8, 9, 9, 3), np.uint8)


@pytest.mark.parametrize("name", CHANGES)
def test_level_0_leaves_pictures_as_they_are(name, pictures):
    assert UNITS[name]
    assert levels(name, (9, 9))[0] == 0
    np.testing.assert_array_equal(change(name, pictures, 0), pictures)


@pytest.mark.parametrize("name", CHANGES)
def test_pictures_given_stay_as_they_are(name, pictures):
    kept = pictures.copy()
    changed = change(name, pictures, 3)
    assert changed.dtype == np.uint8
    assert changed.shape == pictures.shape
    assert all((one != other).any() for one, other in zip(changed, pictures, strict=True))
    np.testing.assert_array_equal(pictures, kept)
    np.testing.assert_array_equal(changed, change(name, pictures, 3))


def test_shifts():
    """To the right, left, down and up in turn; the edge is repeated."""
    picture = np.array([[1, 2, 3], [4, 5, 6], [7, 8, 9]], np.uint8)
    shifted = change("shift", np.stack([picture] * 5)[..., None], 1)[..., 0]
    np.testing.assert_array_equal(shifted[0], [[1, 1, 2], [4, 4, 5], [7, 7, 8]])
    np.testing.assert_array_equal(shifted[1], [[2, 3, 3], [5, 6, 6], [8, 9, 9]])
    np.testing.assert_array_equal(shifted[2], [[1, 2, 3], [1, 2, 3], [4, 5, 6]])
    np.testing.assert_array_equal(shifted[3], [[4, 5, 6], [7, 8, 9], [7, 8, 9]])
    np.testing.assert_array_equal(shifted[4], shifted[0])
    rest = change("shift", np.stack([picture] * 2)[..., None], 1, first=3)[..., 0]
    np.testing.assert_array_equal(rest, shifted[3:])
    far = change("shift", picture[None, ..., None], 3)[0, ..., 0]
    np.testing.assert_array_equal(far, [[1, 1, 1], [4, 4, 4], [7, 7, 7]])


def test_rotations(pictures):
    """A quarter turn moves pixels onto pixels: counter-clockwise and clockwise in turn."""
    turned = change("rotation", pictures, 90)
    for number, picture in enumerate(pictures):
        np.testing.assert_array_equal(turned[number], np.rot90(picture, 1 if number % 2 == 0 else -1))
    single = change("rotation", pictures[:1], 90)
    np.testing.assert_array_equal(single[0], turned[0])
    np.testing.assert_array_equal(change("rotation", pictures[3:], 90, first=3), turned[3:])


def test_noise():
    grey = np.full((40, 20, 20, 1), 128, np.uint8)
    added = change("noise", grey, 16).astype(float) - 128
    assert abs(added.mean()) < 0.5  # 16,000 draws: a standard error of 0.13
    assert added.std() == pytest.approx(16, abs=0.4)
    double = change("noise", grey, 32).astype(float) - 128
    assert np.abs(double - 2 * added).max() <= 1.5  # the same draws, rounded
    assert (change("noise", grey, 16, seed=1) != change("noise", grey, 16)).any()
    assert set(np.unique(change("noise", grey, 1e9))) == {0, 255}


def test_blur():
    np.testing.assert_array_equal(change("blur", np.full((2, 9, 9, 3), 77, np.uint8), 2), 77)
    point = np.zeros((1, 9, 9, 1), np.uint8)
    point[0, 4, 4] = 255
    bell = np.exp(-(np.arange(-4, 5) ** 2) / 2)
    expected = 255 * np.outer(bell, bell) / bell.sum() ** 2
    np.testing.assert_allclose(change("blur", point, 1)[0, ..., 0], expected, atol=0.51)
    two = np.zeros((1, 9, 9, 2), np.uint8)
    two[..., 0] = 200
    np.testing.assert_array_equal(change("blur", two, 3), two)  # channels do not mix


def test_occlusion(pictures):
    covered = change("occlusion", pictures, 4)
    places = set()
    for before, after in zip(pictures, covered, strict=True):
        colour = np.rint(before.mean((0, 1)))
        hidden = (after == colour).all(axis=-1)
        rows, columns = np.nonzero(hidden)
        assert (rows.max() - rows.min(), columns.max() - columns.min()) == (3, 3)
        assert hidden.sum() == 16
        np.testing.assert_array_equal(after[~hidden], before[~hidden])
        places.add((rows.min(), columns.min()))
    assert len(places) > 3
    whole = change("occlusion", pictures, 9)
    assert all((each == each[0, 0]).all() for each in whole)


def test_levels():
    assert levels("shift", (28, 28)) == (0, 1, 2, 3, 4, 5, 6)
    assert levels("shift", (3, 9)) == (0, 1, 2)
    assert levels("occlusion", (32, 40)) == (0, 4, 8, 12, 16)


@pytest.mark.parametrize(
    ("name", "level", "message"),
    [
        ("skew", 1, "change 'skew': expected one of shift, rotation"),
        ("shift", -1, "shift of -1"),
        ("shift", 1.5, "whole pixels from 0 to 9"),
        ("occlusion", 10, "whole pixels from 0 to 9"),
        ("noise", float("nan"), "noise of nan"),
        ("blur", float("inf"), "blur of inf"),
    ],
)
def test_impossible_changes_are_refused(pictures, name, level, message):
    with pytest.raises(ValueError, match=message):
        change(name, pictures, level)
