"""Rectangles, cutout and random erasing against loops over pixels."""

import jax
import jax.numpy as jnp
import numpy as np

from cnn_jax.data.device.erasing import Rectangles, cutout, inside, random_erasing, replace

ONES = jnp.ones((600, 12, 16, 2))


def test_rectangles_by_hand():
    rectangles = Rectangles(*(jnp.asarray(numbers) for numbers in ([1, -1, 0], [0, 2, 1], [2, 2, 0], [3, 9, 2])))
    rows, columns = inside(rectangles, 3, 4)
    assert rows.astype(int).tolist() == [[0, 1, 1], [1, 0, 0], [0, 0, 0]]
    assert columns.astype(int).tolist() == [[1, 1, 1, 0], [0, 0, 1, 1], [0, 1, 1, 0]]
    replaced = replace(jnp.ones((3, 3, 4, 1)), rectangles, 0.0)[..., 0].astype(int).tolist()
    assert replaced[0] == [[1, 1, 1, 1], [0, 0, 0, 1], [0, 0, 0, 1]]
    assert replaced[1] == [[1, 1, 0, 0], [1, 1, 1, 1], [1, 1, 1, 1]]
    assert replaced[2] == [[1, 1, 1, 1]] * 3


def test_cutout_centres_its_square_on_every_pixel_alike():
    for side in (1, 2, 3):
        images = np.asarray(cutout(jax.random.key(side), jnp.ones((1200, 3, 4, 2)), side))
        possible = []
        for row in range(3):
            for column in range(4):
                image = np.ones((3, 4, 2), np.float32)
                for y in range(row - side // 2, row - side // 2 + side):
                    for x in range(column - side // 2, column - side // 2 + side):
                        if 0 <= y < 3 and 0 <= x < 4:
                            image[y, x] = 0
                possible.append(image.tobytes())
        found = [image.tobytes() for image in images]
        assert set(found) == set(possible)
        counts = [found.count(each) for each in possible]
        assert max(abs(count - 100) for count in counts) < 48  # 1200 / 12, with a deviation of 9.6


def erased(images):
    """The bounding box of each image's zeros, (height, width, top, left), all of it zero; None where there is none."""
    boxes = []
    for image in np.asarray(images):
        rows, columns = (np.flatnonzero((image == 0).any(axis=axes)) for axes in ((1, 2), (0, 2)))
        if not len(rows):
            boxes.append(None)
            continue
        assert (image[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1] == 0).all()
        boxes.append((len(rows), len(columns), rows[0], columns[0]))
    return boxes


def test_erasing_hits_the_share_that_it_should():
    boxes = erased(random_erasing(jax.random.key(0), ONES, 0.3, (0.05, 0.2), (0.5, 2.0), 0.0))
    hit = sum(box is not None for box in boxes)
    assert abs(hit - 180) < 5 * 11.3  # 600 * 0.3, with a deviation of sqrt(600 * 0.3 * 0.7)


def test_erased_rectangles_have_the_area_and_aspect_asked_for():
    boxes = erased(random_erasing(jax.random.key(1), ONES, 1.0, (0.1, 0.4), (0.5, 2.0), 0.0))
    heights, widths, tops, lefts = np.array(boxes).T
    # A side is rounded by half a pixel at most.
    assert ((heights + 0.5) * (widths + 0.5) >= 0.1 * 192).all()
    assert ((heights - 0.5) * (widths - 0.5) <= 0.4 * 192).all()
    assert ((heights + 0.5) / (widths - 0.5) >= 0.5).all()
    assert ((heights - 0.5) / (widths + 0.5) <= 2.0).all()
    # Both may be anywhere: the place over the room for it is uniform, its mean's standard error 0.29 / sqrt(n).
    for first, room in ((tops, 12 - heights), (lefts, 16 - widths)):
        assert (first <= room).all()
        roomy = room > 0
        shares = first[roomy] / room[roomy]
        # a place is one of room + 1 whole ones, so the spread is up to 0.5, where the room is 1
        assert abs(shares.mean() - 0.5) < 5 * 0.5 / np.sqrt(roomy.sum())
        assert {0.0, 1.0} <= set(shares)


def test_the_mean_erased_area():
    # Wide enough for every rectangle at the first attempt: area uniform from 0.1 to 0.2, deviation 0.1 / sqrt(12).
    images = jnp.ones((600, 64, 64, 1))
    area = float((random_erasing(jax.random.key(2), images, 1.0, (0.1, 0.2), (0.8, 1.25), 0.0) == 0).mean())
    # rounding to whole pixels adds a bias of at most 1/12 of a pixel to each of some 25 x 25
    assert abs(area - 0.15) < 5 * 0.1 / np.sqrt(12 * 600) + 0.001


def test_rectangles_that_never_fit_erase_nothing_and_others_are_drawn_again():
    never = random_erasing(jax.random.key(3), ONES, 1.0, (0.5, 0.6), (20.0, 30.0), 0.0)
    assert np.array_equal(never, ONES)
    # An aspect above 1.5 is too tall for half of 12x16 pixels: one in five attempts fits, all ten fail for 11 %.
    boxes = erased(random_erasing(jax.random.key(4), ONES, 1.0, (0.5, 0.5), (1.25, 2.5), 0.0))
    missed = sum(box is None for box in boxes)
    assert all(box is None or box[0] <= 12 for box in boxes)
    # heights sqrt(96 * aspect) round to 12 at most below an aspect of 12.5^2 / 96 = 1.628
    expected = 600 * (1 - (12.5**2 / 96 - 1.25) / 1.25) ** 10
    assert abs(missed - expected) < 5 * np.sqrt(expected)
