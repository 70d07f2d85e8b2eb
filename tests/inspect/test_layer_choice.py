"""Layers that are looked at: all names are known, and the standard choice lies on the way to the logits."""

import pytest

from cnn_jax import models
from cnn_jax.config.model import Cnn, GoogLeNet, ResNet
from cnn_jax.config.networks import SqueezeNet11
from cnn_jax.inspect.layer_choice import UnknownLayerError, check_names, layer_names, standard_layers

CNN = models.create(Cnn(features=(4, 4), pooling=("max", "none"), dense=(5,)), 3)


def test_names_in_the_order_of_computation():
    assert layer_names(CNN, (12, 12, 1)) == (
        "conv1",
        "conv1/activation",
        "pool1",
        "conv2",
        "conv2/activation",
        "head/flatten",
        "head/dense1",
        "head/dense1/activation",
        "head/logits",
    )
    check_names(CNN, (12, 12, 1), layer_names(CNN, (12, 12, 1)))


def test_an_unknown_layer_lists_all():
    with pytest.raises(
        UnknownLayerError, match=r"no layer 'Conv2/activations'; did you mean 'conv2/activation'\?"
    ) as told:
        check_names(CNN, (12, 12, 1), ["conv1", "Conv2/activations"])
    assert str(told.value).endswith(", ".join(layer_names(CNN, (12, 12, 1))))
    with pytest.raises(UnknownLayerError, match="no layer '#'; The layers are: conv1, "):
        check_names(CNN, (12, 12, 1), ["#"])


def test_auxiliary_classifiers_do_not_run():
    model = models.create(GoogLeNet(aux_heads=True, width=0.1, modules=(1, 2, 0), aux_dense=8), 3)
    auxiliary = [row.name for row in model.layers((96, 96, 3)) if row.name.startswith("aux")]
    assert auxiliary
    with pytest.raises(UnknownLayerError, match=f"layer '{auxiliary[0]}' only runs in training"):
        check_names(model, (96, 96, 3), auxiliary[:1])


@pytest.mark.parametrize(
    ("config", "side", "count", "names"),
    [
        (Cnn(features=(4, 4), pooling=("max", "none")), 12, 5, ["conv1/activation", "conv2/activation"]),
        # The stem, then the sums of the eight blocks: first, middle and last of these nine.
        (
            ResNet(depth=18, width=4),
            64,
            3,
            ["stem/norm/activation", "stage2_block2/add/activation", "stage4_block2/add/activation"],
        ),
        # Three convolutions of the stem, then whole modules.
        (
            GoogLeNet(width=0.1, modules=(1, 1, 0), aux_heads=False),
            96,
            9,
            [
                "conv1/activation",
                "conv2_reduce/activation",
                "conv2/activation",
                "inception3a/concat",
                "inception4a/concat",
            ],
        ),
        # The middle one of the 17: conv1, and of eight modules the squeezed and the stacked maps.
        (SqueezeNet11(), 64, 3, ["conv1/activation", "fire5/concat", "fire9/concat"]),
    ],
)
def test_the_standard_choice(config, side, count, names):
    channels = 1 if side == 12 else 3
    assert list(standard_layers(models.create(config, 3), (side, side, channels), count)) == names
