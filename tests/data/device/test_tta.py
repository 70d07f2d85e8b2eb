"""The views that evaluation averages, by hand; what averaging does is in tests/train/test_steps.py."""

import numpy as np
import pytest

from cnn_jax.data.device.tta import count, unfit, views


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("shift", [0, 1])
def test_there_are_as_many_as_counted(mirrored, shift):
    images = np.arange(1, 19, dtype=np.uint8).reshape(2, 3, 3, 1)
    seen = np.asarray(views(images, mirrored, shift))
    assert seen.shape == (count(mirrored, shift), 2, 3, 3, 1)
    assert seen.dtype == np.uint8
    np.testing.assert_array_equal(seen[0], images)
    assert len({each.tobytes() for each in seen}) == len(seen)


def test_moves_let_zeros_in():
    image = np.array([[1, 2], [3, 4]], np.uint8)[None, :, :, None]
    assert np.asarray(views(image, True, 1))[..., 0].tolist() == [
        [[[1, 2], [3, 4]]],
        [[[3, 4], [0, 0]]],  # up
        [[[0, 0], [1, 2]]],  # down
        [[[2, 0], [4, 0]]],  # left
        [[[0, 1], [0, 3]]],  # right
        [[[2, 1], [4, 3]]],  # and the mirror images of all
        [[[4, 3], [0, 0]]],
        [[[0, 0], [2, 1]]],
        [[[0, 2], [0, 4]]],
        [[[1, 0], [3, 0]]],
    ]


def test_moves_out_of_sight_are_refused():
    assert unfit(19, (20, 30, 3)) == []
    (fault,) = unfit(20, (20, 30, 3))
    assert fault == "config.train.eval_shift=20 moves all of images of 20x30 pixels out of sight; use at most 19"
