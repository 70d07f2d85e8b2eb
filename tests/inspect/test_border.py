"""Border profiles of constant images beside hand arithmetic."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnn_jax import models
from cnn_jax.config.model import AlexNet, Cnn, ResNet
from cnn_jax.inspect.border import border_effects, default_layers, rolled
from cnn_jax.inspect.table import as_csv
from cnn_jax.layer_rows import LayerRow, emit


def zeros(config, shape):
    """Variables of a network, all 0; nothing is compiled for them."""
    shapes = jax.eval_shape(lambda key: models.create(config, 2).init(key, shape), jax.random.key(0))
    return jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), dict(shapes))


def summing(padding, side=6):
    """A network whose convolution sums 3x3 pixels, and its variables."""
    config = Cnn(features=(1,), kernel_size=3, padding=padding, pooling="none", dense=())
    variables = zeros(config, (side, side, 1))
    variables["params"]["conv1"]["kernel"] = jnp.ones((3, 3, 1, 1))
    return config, variables


@pytest.mark.parametrize("own", ["VALID", "SAME", "REFLECT"])
def test_a_constant_image(own):
    """Zeros take 3 of 9 pixels at an edge and 5 at a corner; no other border takes any."""
    config, variables = summing(own)
    borders = border_effects(config, 2, variables, np.ones((3, 6, 6, 1), np.float32))
    assert (borders[0].own, borders[0].paddings[0]) == (True, own)
    assert [each.own for each in borders[1:]] == [False] * 4
    found = {name: each for each in borders for name in each.paddings}
    assert set(found) == {"VALID", "SAME", "SAME_LOWER", "TORCH", "REFLECT", "REPLICATE", "CIRCULAR"}
    assert len(borders) == 5
    assert found["SAME"].paddings == ("SAME", "SAME_LOWER", "TORCH")
    zeros = np.full((6, 6), 9.0)
    zeros[[0, -1]] = zeros[:, [0, -1]] = 6
    zeros[[0, 0, -1, -1], [0, -1, 0, -1]] = 4
    np.testing.assert_allclose(found["SAME"].means, zeros)
    # The outermost 20 places: 4 corners of 4 and 16 edges of 6.
    np.testing.assert_allclose(found["SAME"].profile, [(4 * 4 + 16 * 6) / 20, 9, 9])
    np.testing.assert_allclose(found["VALID"].means, np.full((4, 4), 9.0))
    np.testing.assert_allclose(found["VALID"].profile, [9, 9])
    for name in ("REFLECT", "REPLICATE", "CIRCULAR"):
        np.testing.assert_allclose(found[name].profile, [9, 9, 9])
    assert found["SAME"].rows()[0] == {
        "padding": "SAME/SAME_LOWER/TORCH",
        "own": own == "SAME",
        "layer": "conv1/activation",
        "distance": 0,
        "places": 20,
        "mean_activation": pytest.approx(5.6),
    }
    assert len(as_csv([row for each in borders for row in each.rows()]).splitlines()) == 1 + 2 + 4 * 3


def test_distances():
    config, variables = summing("SAME", side=5)
    (only,) = border_effects(config, 2, variables, np.ones((1, 5, 5, 1), np.float32), paddings=())
    np.testing.assert_array_equal(
        only.distances, [[0, 0, 0, 0, 0], [0, 1, 1, 1, 0], [0, 1, 2, 1, 0], [0, 1, 1, 1, 0], [0, 0, 0, 0, 0]]
    )


def test_explicit_pads_and_several_stages():
    """The network's own explicit pads are SAME's by another name, and so are equal paddings of all stages."""
    config, variables = summing(((1, 1), (1, 1)))
    borders = border_effects(config, 2, variables, np.ones((1, 6, 6, 1), np.float32), paddings=["SAME", "VALID"])
    assert [each.paddings for each in borders] == [("explicit", "SAME"), ("VALID",)]
    config, variables = summing(("SAME",))
    borders = border_effects(config, 2, variables, np.ones((1, 6, 6, 1), np.float32), paddings=["SAME", 1])
    assert [each.paddings for each in borders] == [("SAME", "1")]


def test_paddings_that_do_not_fit_are_left_out():
    """A 5x5 window on 4 pixels exceeds VALID's input, and its border of 2 is within what 4 pixels can give."""
    config = Cnn(features=(1,), kernel_size=5, padding="SAME", pooling="none", dense=())
    borders = border_effects(config, 2, zeros(config, (4, 4, 1)), np.ones((1, 4, 4, 1), np.float32))
    names = {name for each in borders for name in each.paddings}
    assert names == {"SAME", "SAME_LOWER", "TORCH", "REFLECT", "REPLICATE", "CIRCULAR"}


def test_images_rolled_around():
    images = np.random.default_rng(0).standard_normal((40, 5, 7, 2)).astype(np.float32)
    moved = rolled(images, seed=1)
    offsets = set()
    for before, after in zip(images, moved, strict=True):
        fitting = [
            (down, right)
            for down in range(5)
            for right in range(7)
            if np.array_equal(np.roll(before, (-down, -right), (0, 1)), after)
        ]
        assert len(fitting) == 1
        offsets.add(fitting[0])
    assert len(offsets) > 15
    np.testing.assert_array_equal(rolled(images, seed=1), moved)
    assert (rolled(images, seed=2) != moved).any()


def test_rolled_images_are_flat_under_circular_padding():
    """All rolls of one image together have one mean at every place; zeros lower the outermost places alone."""
    config, variables = summing("CIRCULAR", side=6)
    image = np.random.default_rng(0).random((1, 6, 6, 1), np.float32)
    every = np.concatenate([np.roll(image, (down, right), (1, 2)) for down in range(6) for right in range(6)])
    circular, zeros = border_effects(config, 2, variables, every, paddings=["SAME"])
    np.testing.assert_allclose(circular.profile, 9 * image.mean(), rtol=1e-5)
    np.testing.assert_allclose(zeros.profile, image.mean() * np.array([5.6, 9, 9]), rtol=1e-5)


def test_default_layers():
    assert default_layers(models.create(Cnn(), 10), (28, 28, 1)) == (
        "conv1/activation", "conv2/activation", "conv3/activation",
    )  # fmt: skip
    names = default_layers(models.create(ResNet(depth=18), 10), (64, 64, 3))
    assert len(names) == 6
    assert (names[0], names[-1]) == ("stem/norm/activation", "stage4_block2/add/activation")
    assert default_layers(models.Model(Linear()), (12, 12, 1)) == ("one", "two")


class Linear(nn.Module):
    """Two convolutions without activations."""

    @nn.compact
    def __call__(self, images, train):
        maps = nn.Conv(2, (3, 3), name="two")(nn.Conv(2, (3, 3), name="one")(images))
        row = LayerRow("pool", "global_avg_pool", maps.shape[1:], maps.shape[3:])
        return nn.Dense(3, name="logits")(emit(row, maps.mean((1, 2)))), ()


def test_the_stems_padding_changes_too():
    config = AlexNet(features=(2, 2, 2, 2, 2), dense=())
    images = np.ones((1, 64, 64, 3), np.float32)
    borders = border_effects(config, 2, zeros(config, (64, 64, 3)), images, ["conv1"], ["SAME"])
    # ((64 + 3 - 11) / 4 + 1 = 15 places with the network's pads of 1 and 2, 64 / 4 = 16 under SAME
    assert [each.means.shape for each in borders] == [(15, 15), (16, 16)]


def test_layers_without_maps_are_refused():
    config, variables = summing("SAME")
    images = np.ones((1, 6, 6, 1), np.float32)
    with pytest.raises(ValueError, match="layer 'head/logits' has no maps"):
        border_effects(config, 2, variables, images, ["head/logits"])
    with pytest.raises(ValueError, match="no layer 'conv9'; did you mean 'conv1'"):
        border_effects(config, 2, variables, images, ["conv9"])
