"""Occlusion beside values worked out by hand and a plain loop."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnn_jax import models
from cnn_jax.config.model import Cnn
from cnn_jax.inspect import attribution
from cnn_jax.inspect.occlusion import occlusion, window_starts


def test_windows_cover_every_pixel():
    assert list(window_starts(12, 3, 3)) == [0, 3, 6, 9]
    assert list(window_starts(13, 6, 5)) == [0, 5, 10]  # the last has three pixels
    assert list(window_starts(5, 5, 1)) == [0]
    assert list(window_starts(5, 4, 1)) == [0, 1]
    for pixels in range(1, 9):
        for window in range(1, pixels + 1):
            for stride in range(1, window + 1):
                starts = list(window_starts(pixels, window, stride))
                assert {n for start in starts for n in range(start, start + window)} >= set(range(pixels))
                assert starts[-1] < pixels
                assert len(starts) == 1 or starts[-2] + window < pixels  # none too many


def test_a_linear_network_by_hand():
    """The logit falls by each covered pixel's weight times its difference to the cover."""
    config = Cnn(features=(1,), kernel_size=1, pooling="none", dense=(), activation="identity")
    weights = np.array([[1, 0], [2, -1], [3, 1], [-4, 5], [6, 2], [-3, 1]], np.float32)
    params = {
        "conv1": {"kernel": jnp.full((1, 1, 1, 1), 2.0), "bias": jnp.array([1.0])},
        "head": {"logits": {"kernel": jnp.asarray(weights), "bias": jnp.zeros(2)}},
    }
    image = np.array([[1, 2, 3], [4, 5, 6]], np.float32)[None, :, :, None]
    arguments = models.create(config, 2), {"params": params}, image, np.array([0])
    falls = np.array([[2, 8, 18], [-32, 60, -36]])  # 2wx
    np.testing.assert_array_equal(occlusion(*arguments, 1, 1), falls[None])
    np.testing.assert_array_equal(occlusion(*arguments, 1, 1, 1.0), [[[0, 4, 12], [-24, 48, -30]]])  # 2w(x - 1)
    # Columns 0 and 1, then 1 and 2, whose mean the middle gets.
    np.testing.assert_array_equal(occlusion(*arguments, (1, 2), 1), [[[10, 18, 26], [28, 26, 24]]])
    # Columns 0 and 1, then column 2, where the window is cut off.
    np.testing.assert_array_equal(occlusion(*arguments, (2, 2), (1, 2)), [[[38, 38, -18]] * 2])


@pytest.mark.parametrize(
    ("window", "strides"), [((3, 2), (2, 1)), ((4, 4), (4, 4)), ((5, 3), (2, 3)), ((9, 10), (1, 1))]
)
def test_beside_a_plain_loop(monkeypatch, window, strides):
    model = models.create(Cnn(features=(3, 4), kernel_size=2, pooling=("max", "none"), dense=(5,)), 3)
    variables = model.init(jax.random.key(1), (9, 10, 2))
    images = np.random.default_rng(0).standard_normal((2, 9, 10, 2)).astype(np.float32)
    cover, classes = np.array([0.5, -1], np.float32), np.array([2, 0])

    @jax.jit
    def logits(image):
        return model.apply(variables, image[None], train=False)[0][0]

    expected = []
    for image, number in zip(images, classes, strict=True):
        total, count = np.zeros((9, 10)), np.zeros((9, 10))
        row = 0
        while True:
            column = 0
            while True:
                covered = image.copy()
                covered[row : row + window[0], column : column + window[1]] = cover
                total[row : row + window[0], column : column + window[1]] += float(
                    logits(image)[number] - logits(covered)[number]
                )
                count[row : row + window[0], column : column + window[1]] += 1
                if column + window[1] >= 10:
                    break
                column += strides[1]
            if row + window[0] >= 9:
                break
            row += strides[0]
        expected.append(total / count)
    assert np.abs(expected).max() > 0.01
    sizes = []
    apply = type(model).apply

    def watched(self, variables, images, train):
        sizes.append(len(images))
        return apply(self, variables, images, train)

    monkeypatch.setattr(type(model), "apply", watched)
    monkeypatch.setattr(attribution, "BATCH_PIXELS", 7 * 90)
    ours = occlusion(model, variables, images, classes, window, strides, cover)
    np.testing.assert_allclose(ours, expected, rtol=1e-4, atol=1e-5)
    assert len(sizes) == 1  # traced once for both images
    assert sizes[0] <= 7


def test_windows_that_will_not_do():
    model = models.create(Cnn(features=(2,), pooling="none", dense=()), 3)
    variables = model.init(jax.random.key(1), (6, 5, 1))
    arguments = model, variables, np.zeros((1, 6, 5, 1)), np.array([0])
    with pytest.raises(ValueError, match=r"window=\(6, 6\): expected 1 to 5 pixels along the width"):
        occlusion(*arguments, 6, 1)
    with pytest.raises(ValueError, match="window=0: expected at least 1"):
        occlusion(*arguments, 0, 1)
    with pytest.raises(ValueError, match=r"strides=\(3, 3\): expected 1 to 2, the window"):
        occlusion(*arguments, 2, 3)
    with pytest.raises(ValueError, match="baseline of the shape"):
        occlusion(*arguments, 2, 2, np.zeros(2))
    with pytest.raises(ValueError, match="class 4: expected 0 to 2"):
        occlusion(*arguments[:3], np.array([4]), 2, 2)
