"""The backward pass of rectifiers reaches every one of every network."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnn_jax import models, ops
from cnn_jax.config.model import (
    AlexNet,
    CifarResNet,
    Cnn,
    GoogLeNet,
    LeNet5,
    ResNet,
    SqueezeNet10,
    SqueezeNet11,
    TorchvisionAlexNet,
    TorchvisionGoogLeNet,
)
from cnn_jax.config.networks import (
    ConvNeXt,
    DenseNet,
    EfficientNet,
    InceptionV3,
    MobileNetV2,
    MobileNetV3Large,
    MobileNetV3Small,
    Vgg,
    ZFNet,
)
from cnn_jax.ops.platform import building_for

# By the papers' tables: one after every convolution and every hidden dense layer, but for the convolutions that end a
# residual block, whose rectifier stands after the sum, and those of shortcuts. Every kind of block, each once or twice.
COUNTS = [
    (Cnn(), 28, 3 + 1, 3 + 1),
    (Cnn(norm="batch", order="norm-activation-conv"), 28, 3 + 1, 3 + 1),
    (LeNet5(activation="relu", pool_activation="relu", dense=(84,)), 32, 3 + 2 + 1, 3 + 2 + 1),
    (LeNet5(), 32, 0, 0),  # tanh
    (AlexNet(), 224, 5 + 2, 5 + 2),
    (TorchvisionAlexNet(), 224, 5 + 2, 5 + 2),
    (GoogLeNet(modules=(1, 1, 1)), 224, 3 + 3 * 6, 3 + 3 * 6 + 2),
    (TorchvisionGoogLeNet(modules=(0, 4, 0), aux_heads=True), 224, 3 + 4 * 6, 3 + 4 * 6 + 2 * 2),
    (SqueezeNet10(modules=3, pool_after=(1, 4)), 224, 1 + 3 * 3 + 1, 1 + 3 * 3 + 1),
    (SqueezeNet11(modules=3, pool_after=(1, 3)), 224, 1 + 3 * 3 + 1, 1 + 3 * 3 + 1),
    (ResNet(depth=50), 224, 1 + 16 * 3, 1 + 16 * 3),
    (CifarResNet(depth=8), 32, 1 + 3 * 2, 1 + 3 * 2),
    (CifarResNet(depth=8, activation_order="pre"), 32, 3 * 2 + 1, 3 * 2 + 1),
    (ZFNet(), 224, 5 + 2, 5 + 2),
    (Vgg(depth=11, norm="batch"), 224, 8 + 2, 8 + 2),
    (InceptionV3(modules=(0, 1, 1)), 299, 5 + 4 + 10 + 6 + 9, 34 + 2),  # all convolutions
    (
        DenseNet(blocks=(2, 1)),
        64,
        1 + 3 * 2 + 1 + 1,
        1 + 3 * 2 + 1 + 1,
    ),  # the layers have two
    (MobileNetV2(blocks=(1, 2, 1, 0, 0, 0, 0)), 224, 1 + 1 + 3 * 2 + 1, 1 + 1 + 3 * 2 + 1),
    (MobileNetV3Large(modules=8), 224, 1 + 5 * 2 + 3, 1 + 5 * 2 + 3),  # the first six blocks, and gates
    (MobileNetV3Small(modules=5), 224, 1 + 2 * 2 + 3, 1 + 2 * 2 + 3),
    (EfficientNet(blocks=(1, 1, 0, 0, 0, 0, 0)), 32, 0, 0),  # SiLU
    (ConvNeXt(blocks=(1, 1, 0, 0)), 32, 0, 0),  # GELU
]
# The whole networks of more blocks.
WHOLE = [
    (GoogLeNet(), 224, 3 + 9 * 6, 3 + 9 * 6 + 2 * 2),
    (TorchvisionGoogLeNet(aux_heads=True), 224, 3 + 9 * 6, 3 + 9 * 6 + 2 * 2),
    (SqueezeNet10(), 224, 1 + 8 * 3 + 1, 1 + 8 * 3 + 1),
    (SqueezeNet11(), 224, 1 + 8 * 3 + 1, 1 + 8 * 3 + 1),
    (ResNet(depth=18), 224, 1 + 8 * 2, 1 + 8 * 2),
    (CifarResNet(depth=20), 32, 1 + 9 * 2, 1 + 9 * 2),
    (CifarResNet(depth=20, activation_order="pre"), 32, 9 * 2 + 1, 9 * 2 + 1),
    (Vgg(norm="batch"), 224, 13 + 2, 13 + 2),
    (MobileNetV2(), 224, 1 + 1 + 16 * 2 + 1, 1 + 1 + 16 * 2 + 1),
    (MobileNetV3Large(), 224, 1 + 5 * 2 + 8, 1 + 5 * 2 + 8),
    (MobileNetV3Small(), 224, 1 + 2 * 2 + 9, 1 + 2 * 2 + 9),
]
# Maxima that are no rectifiers: of hard-swish (stem, later blocks, last convolution, hidden layer) and of the gates.
OTHER_MAXIMA = {
    MobileNetV3Large(modules=8): 1 + 2 * 2 + 2 + 3,
    MobileNetV3Small(modules=5): 1 + 2 * 2 + 2 + 3,
    MobileNetV3Large(): 1 + 9 * 2 + 2 + 8,
    MobileNetV3Small(): 1 + 8 * 2 + 2 + 9,
}
CASES = [
    pytest.param(*case, id=f"{case[0].name}-{number}", marks=[pytest.mark.exhaustive] * (case in WHOLE))
    for number, case in enumerate([*COUNTS, *WHOLE])
]


def test_no_network_is_left_out():
    assert {config.name for config, *_ in COUNTS} == set(models.NETWORKS)


def maxima_with_zero(jaxpr):
    """Counts the rectifications in a traced program: of maps on their way forward, of signals on their way back."""
    count = 0
    for equation in jaxpr.eqns:
        zeros = [literal for literal in equation.invars if np.ndim(getattr(literal, "val", 1)) == 0]
        count += equation.primitive.name == "max" and any(getattr(each, "val", 1) == 0 for each in zeros)
        for value in equation.params.values():
            for inner in value if isinstance(value, tuple | list) else (value,):
                inner = getattr(inner, "jaxpr", inner)
                count += maxima_with_zero(inner) if hasattr(inner, "eqns") else 0
    return count


def traced(config, side):
    """A network, and the shapes of its variables and of two images."""
    model = models.create(config, 10)
    shape = (side, side, 1 if side == 28 else 3)
    return model, model.variable_shapes(shape), jax.ShapeDtypeStruct((2, *shape), jnp.float32)


def rectifications(config, side, backward, train):
    """Those of a network's whole gradient with respect to its images, and its rectifiers, auxiliary ones included."""
    model, variables, images = traced(config, side)

    def score(images, variables):
        logits, aux_logits, _ = model.apply(variables, images, train, jax.random.key(0))
        return sum(each.sum() for each in (logits, *aux_logits))

    with ops.relu_backward(backward) as rectifiers:
        jaxpr = jax.make_jaxpr(jax.grad(score))(images, variables).jaxpr
    return maxima_with_zero(jaxpr), rectifiers.count


@pytest.mark.parametrize(("config", "side", "in_evaluation", "in_training"), CASES)
def test_the_rule_is_applied_to_as_many_signals_as_the_network_has_rectifiers(config, side, in_evaluation, in_training):
    """The rule of `deconvnet` rectifies signals; no rectifier's is led back in another way."""
    train = in_training != in_evaluation  # where a network has more of them in training, the auxiliary classifiers'
    expected = {False: in_evaluation, True: in_training}
    maps = expected[train]
    assert rectifications(config, side, "deconvnet", train) == (maps + maps + OTHER_MAXIMA.get(config, 0), maps)
    model, variables, images = traced(config, side)
    with ops.relu_backward("guided") as rectifiers:
        jax.eval_shape(lambda v, x: model.apply(v, x, not train, jax.random.key(0))[0], variables, images)
    assert rectifiers.count == expected[not train]


# Half of them have every pair of values.
FUSED = [
    pytest.param(lowering, platform, train, marks=[pytest.mark.exhaustive] * ((row + column + train) % 2))
    for row, lowering in enumerate(("xla", "patches", "winograd", "space_to_depth"))
    for column, platform in enumerate(("cpu", "tpu"))
    for train in (False, True)
]


@pytest.mark.parametrize(("lowering", "platform", "train"), FUSED)
def test_fused_layers_and_every_lowering(lowering, platform, train):
    """On TPUs norms are joined with the layers around them in training, and none of that is in the rule's way."""
    fused = Cnn(lowering=lowering, pooling="max", features=(8, 8))
    joined = fused.model_copy(update={"norm": "batch", "kernel_size": (3, 1) if lowering != "winograd" else 3})
    for config in (fused, joined):
        with building_for(platform):
            signals = [
                rectifications(config, 28, backward, train)[0] for backward in ("gradient", "deconvnet", "guided")
            ]
        # Variances on TPUs are kept from falling below 0.
        variances = 2 * (config.norm == "batch" and platform == "tpu" and train)
        assert [each - variances for each in signals] == [3, 6, 6]


def test_signals_of_a_network_are_positive_where_rectifiers_end_it():
    """Guided signals that reach the first layer's maps are those of open rectifiers alone, and positive."""
    model = models.create(Cnn(features=(6, 8), dense=(5,)), 3)
    variables = model.init(jax.random.key(0), (12, 12, 1))
    images = jax.random.normal(jax.random.key(1), (2, 12, 12, 1))

    @jax.jit
    def computed(images):
        maps = model.apply_with_layers(variables, images, capture="all")[3]["conv1"]
        signals = {}
        for backward in ("gradient", "deconvnet", "guided"):

            def score(change):
                return model.apply_with_layers(variables, images, perturb={"conv1": change})[0][:, 1].sum()

            with ops.relu_backward(backward):
                signals[backward] = jax.grad(score)(jnp.zeros_like(maps))
        return maps, signals

    maps, signals = jax.tree.map(np.asarray, computed(images))
    shut = maps <= 0
    assert (signals["gradient"][shut] == 0).all()
    assert (signals["gradient"] < 0).any()
    assert (signals["deconvnet"] >= 0).all()
    assert (signals["deconvnet"][shut] > 0).any()
    assert (signals["guided"] >= 0).all()
    assert (signals["guided"] > 0).any()
    assert (signals["guided"][shut] == 0).all()
