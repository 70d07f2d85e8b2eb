"""Receptive fields by hand, and against the pixels that have a gradient."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnn_jax import geometry, models
from cnn_jax.config.model import (
    CifarResNet,
    Cnn,
    GoogLeNet,
    SqueezeNet11,
)
from cnn_jax.config.networks import (
    EfficientNet,
)


def test_receptive_fields_by_hand():
    layers = {row.name: row for row in geometry.summarize(Cnn(), (28, 28, 1), 10).layers}
    assert [layers[name].receptive_field[0] for name in ("conv1", "pool1", "conv2", "pool2", "conv3")] == [
        3,
        4,
        8,
        10,
        18,
    ]
    assert [layers[name].jump[0] for name in ("conv1", "pool1", "conv2", "pool2", "conv3")] == [1, 2, 2, 4, 4]
    assert layers["pool2"].unseen == (1, 1)  # of 11 rows and columns, 2x2 windows cover 10
    four = geometry.summarize(Cnn(features=(1,) * 4, padding="SAME", pooling="none"), (9, 9, 1), 2).layers
    assert [row.receptive_field for row in four[:4]] == [(3, 3), (5, 5), (7, 7), (9, 9)]
    # of 9 places along an axis all but 9 - 2n see only the image after n layers
    assert [row.touching_padding for row in four[:4]] == pytest.approx(
        [1 - (9 - 2 * n) ** 2 / 81 for n in (1, 2, 3, 4)]
    )
    assert geometry.summarize(Cnn(kernel_size=1, strides=2, pooling="none"), (9, 8, 1), 2).layers[0].unseen == (4, 4)


def test_receptive_fields_of_squeezenet_by_hand():
    """A 3x3 kernel adds twice the jump, which convolution and pooling of stride 2 double; 1x1 kernels add nothing."""
    layers = {row.name: row for row in geometry.summarize(SqueezeNet11(), (227, 227, 3), 1000).layers}
    fields = {"conv1": 3, "pool1": 3 + 2 * 2, "fire2/concat": 7 + 2 * 4, "fire3/concat": 15 + 2 * 4}
    fields |= {"pool3": 23 + 2 * 4, "fire5/concat": 31 + 2 * 2 * 8, "pool5": 63 + 2 * 8}
    fields["fire9/concat"] = 79 + 4 * 2 * 16
    assert {name: layers[name].receptive_field[0] for name in fields} == fields
    assert layers["fire9/expand1x1"].receptive_field == (175, 175)
    assert layers["fire9/concat"].jump == (16, 16)


@pytest.mark.parametrize(
    "config",
    [
        Cnn(features=(2, 2), kernel_size=(3, (2, 5)), strides=((1, 2), 1), padding=("VALID", "SAME"), dense=()),
        Cnn(
            features=(2, 2, 2), kernel_size=(5, 3, 3), strides=(2, 1, 1), dilation=(1, 2, 1), padding="TORCH", dense=()
        ),
        Cnn(features=(2, 2), padding=(((1, 0), (0, 2)), "SAME_LOWER"), pool_window=3, pool_strides=2, dense=()),
    ],
)
def test_receptive_fields_against_gradients(config):
    """With weights of one, identity activations and averages, a gradient is zero outside the field alone."""
    pooling = tuple("avg" if stage == 0 else "none" for stage in range(len(config.features)))
    config = config.model_copy(update={"activation": "identity", "pooling": pooling})
    shape = (31, 29, 1)
    model = models.create(config, 3)
    variables = ones(model, shape)
    layers = {row.name: row for row in geometry.summarize(config, shape, 3).layers}

    def map_of(name, images):
        outputs = model.module.apply(variables, images, train=False, capture_intermediates=True)[1]
        return outputs["intermediates"][name]["__call__"][0][0, :, :, 0]

    cases = []
    for number in range(len(config.features)):
        name = f"conv{number + 1}"
        row = layers[f"pool{number + 1}" if f"pool{number + 1}" in layers else name]
        cases += [(name, row, place) for place in places(row)]
    gradients = jax.jit(
        lambda images: [
            jax.grad(lambda images, name=name, place=place: map_of(name, images)[place])(images)
            for name, _, place in cases
        ]
    )(jnp.ones((1, *shape)))
    for gradient, (name, row, place) in zip(gradients, cases, strict=True):
        check_field(gradient, row, place, shape, name)


def ones(model, shape):
    """Variables of the network that are one everywhere."""
    return jax.tree.map(lambda leaf: jnp.ones(leaf.shape, leaf.dtype), model.variable_shapes(shape))


def places(row):
    """The first place of a layer's output, and one in its middle."""
    return (0, 0), (row.output_shape[0] // 2, row.output_shape[1] // 2)


def check_field(gradient, row, place, shape, name):
    """Checks that the pixels with a gradient are those of the layer's receptive field at the place."""
    for axis, pixels in enumerate(shape[:2]):
        seen = np.flatnonzero(np.asarray(gradient)[0, :, :, 0].any(axis=1 - axis))
        first = row.centre[axis] - (row.receptive_field[axis] - 1) / 2 + place[axis] * row.jump[axis]
        last = first + row.receptive_field[axis] - 1
        assert (seen[0], seen[-1]) == (max(first, 0), min(last, pixels - 1)), (name, place, axis)


@pytest.mark.parametrize(
    ("config", "layer"),
    [
        (CifarResNet(depth=8, width=2, norm="none", activation="identity"), "stage1_block1/add"),
        (CifarResNet(depth=8, width=2, norm="none", activation="identity"), "stage2_block1/add"),
        (CifarResNet(depth=8, width=2, norm="none", activation="identity", padding="VALID"), "stage2_block1/add"),
        (
            GoogLeNet(
                width=0.02,
                modules=(2, 0, 0),
                activation="identity",
                pooling="avg",
                lrn=False,
                stem_pools=(True, False),
                padding="VALID",
            ),
            "inception3b/concat",
        ),
    ],
)
def test_receptive_fields_of_branches_against_gradients(config, layer):
    """The field of a sum or a stack is that of all its branches together."""
    shape = (61, 59, 1)
    model = models.create(config, 3)
    variables = ones(model, shape)
    row = next(row for row in geometry.summarize(config, shape, 3).layers if row.name == layer)

    def map_of(images):
        outputs = model.module.apply(variables, images, train=False, capture_intermediates=True)[1]
        return outputs["intermediates"][layer.split("/")[0]]["__call__"][0][0].sum(-1)

    images = jnp.ones((1, *shape))
    assert jax.eval_shape(map_of, images).shape == row.output_shape[:2]
    gradients = jax.jit(jax.jacrev(lambda images: jnp.stack([map_of(images)[place] for place in places(row)])))(images)
    for gradient, place in zip(gradients, places(row), strict=True):
        check_field(gradient, row, place, shape, layer)


def test_a_gate_makes_every_output_see_the_whole_image():
    """The first depthwise convolution sees 7 pixels (3 of stride 2, then 3), the gate's factors all of them."""
    layers = {row.name: row for row in geometry.summarize(EfficientNet(), (224, 224, 3), 1000).layers}
    before, after = layers["stage1_block1/depthwise"], layers["stage1_block1/squeeze/multiply"]
    assert (before.receptive_field, before.jump) == ((7, 7), (2, 2))
    assert min(after.receptive_field) >= 224
    assert after.jump == (0, 0)
