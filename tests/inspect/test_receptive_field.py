"""Receptive fields of middle units beside kernels' own weights and hand-computed boxes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.signal import convolve2d

from cnn_jax import models
from cnn_jax.config.model import CifarResNet, Cnn, GoogLeNet
from cnn_jax.inspect.receptive_field import THRESHOLD, growing_layers, receptive_fields
from cnn_jax.inspect.table import as_csv

KEY = jax.random.key(0)


def linear(*kernels, side=15):
    """A network of convolutions without activations, and its variables."""
    config = Cnn(
        features=tuple(kernel.shape[-1] for kernel in kernels),
        kernel_size=tuple(kernel.shape[0] for kernel in kernels),
        pooling="none",
        activation="identity",
        dense=(),
    )
    model = models.create(config, 2)
    variables = jax.tree.map(jnp.zeros_like, dict(model.init(KEY, (side, side, kernels[0].shape[2]))))
    for number, kernel in enumerate(kernels):
        variables["params"][f"conv{number + 1}"]["kernel"] = jnp.asarray(kernel, jnp.float32)
    return model, variables


def images(count, side=15, channels=1):
    return np.random.default_rng(0).standard_normal((count, side, side, channels)).astype(np.float32)


def test_boxes_by_hand():
    model = models.create(Cnn(features=(4, 4), pooling=("max", "none"), dense=()), 3)
    variables = model.init(KEY, (12, 12, 1))
    fields = receptive_fields(model, variables, images(2, 12), KEY)
    assert [(each.layer, each.unit, each.box) for each in fields] == [
        ("conv1", (5, 5), (5, 5, 3, 3)),  # of 10x10
        ("pool1", (2, 2), (4, 4, 4, 4)),  # of 5x5, each two pixels further
        ("conv2", (1, 1), (2, 2, 8, 8)),  # of 3x3: pooled places 1 to 3, from pixel 2 to pixel 9
        ("head/logits", None, (0, 0, 12, 12)),
    ]
    assert [each.theoretical_size for each in fields] == [3, 4, 8, 12]
    for each in fields:
        top, left, height, width = each.box
        outside = each.gradients.copy()
        outside[top : top + height, left : left + width] = 0
        assert not outside.any()
        assert each.gradients.any()


def test_a_field_beyond_the_image():
    """SAME pads 2 on each side of 5 pixels for each of two 5x5 windows."""
    config = Cnn(features=(1, 1), kernel_size=5, padding="SAME", pooling="none", dense=())
    model = models.create(config, 2)
    second = receptive_fields(model, model.init(KEY, (5, 5, 1)), images(1, 5), KEY, ["conv2"])[0]
    assert second.box == (-2, -2, 9, 9)
    assert second.theoretical_size == 9
    assert second.size_inside == 5


def test_the_gradient_of_a_filter_is_its_kernel():
    kernel = np.full((5, 5, 1, 1), 0.3)
    kernel[2, 2], kernel[0, 0], kernel[0, 4], kernel[4, 0] = -1.0, 0.045, 0.046, 0.0  # the threshold is 0.0455
    (field, _) = receptive_fields(*linear(kernel), images(3), KEY)
    expected = np.zeros((15, 15))
    expected[5:10, 5:10] = np.abs(kernel[..., 0, 0])
    np.testing.assert_allclose(field.gradients, expected, atol=1e-7)
    assert field.effective.sum() == 23
    assert field.effective_size == pytest.approx(23**0.5)
    assert field.row() == {
        "layer": "conv1",
        "kind": "conv",
        "theoretical_height": 5,
        "theoretical_width": 5,
        "theoretical_size": 5.0,
        "size_inside_image": 5.0,
        "effective_size": 4.796,
        "effective_share": 0.92,
    }


def test_a_deep_field_is_narrower_than_its_window():
    """Four uniform 3x3 windows make a binomial-like bell of 9x9, whose edge is far below the middle."""
    ones = np.ones((3, 3, 1, 1))
    field = receptive_fields(*linear(ones, ones, ones, ones), images(2), KEY, ["conv4"])[0]
    bell = np.ones((3, 3))
    for _ in range(3):
        bell = convolve2d(bell, np.ones((3, 3)))
    expected = np.zeros((15, 15))
    expected[3:12, 3:12] = bell  # the middle of 7x7 outputs is (3, 3)
    np.testing.assert_allclose(field.gradients, expected, rtol=1e-5)
    inside = int((bell > 0.0455 * bell.max()).sum())
    assert 25 < inside < 81
    assert field.effective_size == pytest.approx(inside**0.5)
    assert field.theoretical_size == 9


def test_channels_do_not_cancel():
    """Opposite kernels sum to nothing; the root of the mean of their squares is the kernel itself."""
    left = np.zeros((3, 3, 2, 2))
    left[1, 0, :, 0] = 3, 4  # sees two channels of a pixel, whose squares add to 25
    left[1, 2, 0, 1] = 2
    (field, _) = receptive_fields(*linear(left), images(70, channels=2), KEY)  # more than one batch
    expected = np.zeros((15, 15))
    expected[7, 6], expected[7, 8] = np.sqrt(25 / 2), np.sqrt(4 / 2)  # the mean over two channels
    np.testing.assert_allclose(field.gradients, expected, atol=1e-6)
    both = np.zeros((3, 3, 1, 2))
    both[1, 1, 0] = 1, -1  # with random signs 0 or 2 for each image, of a mean square of 2 over two channels
    (field, _) = receptive_fields(*linear(both), images(600), KEY)
    assert field.gradients[7, 7] == pytest.approx(1, abs=0.09)  # over four standard deviations
    assert np.count_nonzero(field.gradients) == 1


def test_a_unit_that_depends_on_nothing():
    (field, _) = receptive_fields(*linear(np.zeros((3, 3, 1, 1))), images(1), KEY)
    assert field.effective_size == 0
    assert field.row()["effective_share"] == 0


def test_layers_of_growing_fields():
    model = models.create(Cnn(features=(4, 4), norm="batch", pooling=("max", "none")), 3)
    # Norms and activations leave the field as it is, and so does a dense layer after another.
    assert growing_layers(model, (12, 12, 1)) == ("conv1", "pool1", "conv2", "head/dense1")
    names = growing_layers(models.create(GoogLeNet(), 10), (96, 96, 3))
    assert not [name for name in names if "aux" in name]
    assert {"inception3a/concat", "inception5b/concat"} <= set(names)
    residual = growing_layers(models.create(CifarResNet(depth=8), 10), (32, 32, 3))
    assert residual[:3] == ("stem", "stage1_block1/conv1", "stage1_block1/add")


def test_unknown_layers_are_refused():
    model, variables = linear(np.ones((3, 3, 1, 1)))
    with pytest.raises(ValueError, match="no layer 'conv'; did you mean 'conv1'"):
        receptive_fields(model, variables, images(1), KEY, ["conv"])
    with pytest.raises(ValueError, match="images with shape"):
        receptive_fields(model, variables, images(0), KEY)


def test_the_table():
    fields = receptive_fields(*linear(np.ones((3, 3, 1, 1))), images(1), KEY)
    lines = as_csv([each.row() for each in fields]).splitlines()
    assert lines[0].split(",")[:3] == ["layer", "kind", "theoretical_height"]
    assert lines[1] == "conv1,conv,3,3,3.0,3.0,3.0,1.0"
    assert len(lines) == 3
    assert pytest.approx(0.0455) == THRESHOLD
