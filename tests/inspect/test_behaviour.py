"""Behaviour on changed pictures beside hand arithmetic and the evaluation that training uses."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnn_jax import models
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
from cnn_jax.config.parsing import parse
from cnn_jax.data.device.pipeline import Batch, Normalization, Preprocessing
from cnn_jax.inspect.behaviour import behave, penultimate
from cnn_jax.inspect.table import as_csv
from cnn_jax.train import step
from cnn_jax.train.step import StepConfig

SCALE = Normalization(jnp.zeros(1), jnp.full(1, 255.0))


def config_of(model, classes=2, **train):
    experiment = parse({"model": model.model_dump(), "train": train})
    return StepConfig.of(experiment, classes)


def zeros(config, side):
    return jax.tree.map(jnp.zeros_like, dict(config.network.init(jax.random.key(0), (side, side, 1))))


def test_a_shift_invariant_network():
    """Circular convolution, and sums over all places: shifts that lose nothing change nothing."""
    model = Cnn(features=(2,), kernel_size=3, padding="CIRCULAR", pooling="none", dense=(2,))
    config = config_of(model)
    variables = zeros(config, 16)
    rng = np.random.default_rng(0)
    params = variables["params"]
    params["conv1"]["kernel"] = jnp.asarray(rng.integers(-2, 3, (3, 3, 1, 2)), jnp.float32)
    # Each unit of the hidden layer sums one map over its places.
    params["head"]["dense1"]["kernel"] = jnp.asarray(np.tile(np.eye(2), (256, 1)), jnp.float32)
    params["head"]["logits"] |= {"kernel": jnp.array([[1.0, -1], [-1, 1]])}
    pictures = np.zeros((12, 16, 16, 1), np.uint8)
    pictures[:, 6:10, 6:10] = 255 * rng.integers(0, 2, (12, 4, 4, 1))
    (shift,) = behave(config, variables, SCALE, pictures, np.zeros(12, int), {"shift": range(7)})
    assert shift.levels == (0, 1, 2, 3, 4, 5, 6)
    np.testing.assert_array_equal(shift.agreement, 1)
    np.testing.assert_array_equal(shift.accuracy, shift.accuracy[0])
    np.testing.assert_allclose(shift.feature_distance, 0, atol=1e-6)
    # Not trivially so: another change does change the features.
    (blur,) = behave(config, variables, SCALE, pictures, None, {"blur": [1]})
    assert blur.feature_distance[1] > 0.01
    assert blur.accuracy is None


def test_distances_and_accuracies_by_hand():
    """The features are the pixels themselves, and the class is the half with more light."""
    model = Cnn(features=(1,), kernel_size=1, pooling="none", dense=())
    config = config_of(model)
    variables = zeros(config, 4)
    variables["params"]["conv1"]["kernel"] = jnp.ones((1, 1, 1, 1))
    halves = np.zeros((4, 4, 2), np.float32)
    halves[:, :2, 0] = halves[:, 2:, 1] = 1
    variables["params"]["head"]["logits"]["kernel"] = jnp.asarray(halves.reshape(16, 2))
    pictures = np.zeros((4, 4, 4, 1), np.uint8)
    pictures[0, 1, 1] = 255  # goes right, to column 2: into the other half
    pictures[1, 1, 2] = 255  # goes left, to column 1: into the other half
    pictures[2, 1, 1] = 255  # goes down
    pictures[3, 2, 2] = 255  # goes up
    labels = np.array([0, 1, 0, 0])  # the last one is wrong from the start
    (shift,) = behave(config, variables, SCALE, pictures, labels, {"shift": [1]})
    assert shift.images == 4
    np.testing.assert_array_equal(shift.accuracy, [3 / 4, 1 / 4])
    np.testing.assert_array_equal(shift.agreement, [1, 2 / 4])
    # A pixel that moves is the root of 2 away, and so are each picture and the next one.
    np.testing.assert_allclose(shift.feature_distance, [0, 1], atol=1e-6)
    pictures[3, 2, 2] = 0
    pictures[3, 1, 1] = 255  # as in its neighbours, the pictures 2 and 0: half of the distances between are 0
    (shift,) = behave(config, variables, SCALE, pictures, labels, {"shift": [1]})
    np.testing.assert_allclose(shift.feature_distance, [0, 4 / 2], atol=1e-6)


@pytest.mark.parametrize("train", [{}, {"eval_mirrored": True}])
def test_level_0_is_the_evaluation(train):
    model = Cnn(features=(4, 4), pooling=("max", "none"), dense=(6,))
    config = config_of(model, 3, **train)
    variables = config.network.init(jax.random.key(1), (12, 12, 1))
    rng = np.random.default_rng(1)
    pictures, labels = rng.integers(0, 256, (600, 12, 12, 1), np.uint8), rng.integers(0, 3, 600)  # two batches
    measured = behave(config, variables, SCALE, pictures, labels, {"shift": (0, 2), "rotation": (0, 30)})
    batch = Batch(jnp.asarray(pictures), jnp.asarray(labels), jnp.ones(600), Preprocessing(SCALE))
    sums = jax.jit(step.eval_step, static_argnums=0)(config, variables, batch)
    assert 150 < sums.correct < 450
    for each in measured:
        assert each.accuracy[0] == int(sums.correct) / 600
        assert each.agreement[0] == 1
        assert each.feature_distance[0] == 0
        assert each.feature_distance[1] > 0.05
    lines = as_csv([row for each in measured for row in each.rows()]).splitlines()
    assert lines[0] == "change,level,images,accuracy,agreement,feature_distance"
    assert lines[1] == f"shift,0,600,{measured[0].accuracy[0]},1.0,0.0"
    assert len(lines) == 5


def test_all_changes_are_measured_by_default():
    config = config_of(Cnn(features=(2,), pooling="max", dense=()))
    variables = config.network.init(jax.random.key(1), (8, 8, 1))
    pictures = np.random.default_rng(0).integers(0, 256, (3, 8, 8, 1), np.uint8)
    measured = behave(config, variables, SCALE, pictures, None)
    assert [each.change for each in measured] == ["shift", "rotation", "noise", "blur", "occlusion"]
    assert all(np.isfinite(each.feature_distance).all() for each in measured)


def test_a_network_without_features_is_not_a_number():
    config = config_of(Cnn(features=(2,), pooling="max", dense=()))
    pictures = np.random.default_rng(0).integers(0, 256, (3, 8, 8, 1), np.uint8)
    (shift,) = behave(config, zeros(config, 8), SCALE, pictures, None, {"shift": [1]})
    assert np.isnan(shift.feature_distance).all()
    np.testing.assert_array_equal(shift.agreement, 1)


PENULTIMATE = [
    (Cnn(), 28, "head/dense1/activation"),
    (Cnn(dense=()), 28, "head/flatten"),
    (LeNet5(), 28, "head/dense1/activation"),
    (LeNet5(output="rbf"), 28, "head/dense1/activation"),
    (AlexNet(), 224, None),
    (TorchvisionAlexNet(), 224, None),
    (GoogLeNet(modules=(1, 1, 0)), 224, None),
    (TorchvisionGoogLeNet(modules=(1, 0, 0)), 224, None),
    (SqueezeNet10(modules=2, pool_after=(1, 3)), 224, "head/dropout"),
    (SqueezeNet11(modules=2, pool_after=(1, 3)), 224, "head/dropout"),
    (ResNet(depth=18), 64, None),
    (CifarResNet(depth=8), 32, None),
    (ZFNet(), 64, "head/dropout2"),
    (Vgg(depth=11), 64, "head/dropout2"),
    (InceptionV3(modules=(1, 0, 0)), 75, "head/dropout"),
    (DenseNet(blocks=(1, 1)), 64, "head/pool"),
    (MobileNetV2(blocks=(1, 1, 1, 0, 0, 0, 0)), 64, "head/dropout"),
    (MobileNetV3Large(modules=5), 64, "head/dropout"),
    (MobileNetV3Small(modules=4), 64, "head/dropout"),
    (EfficientNet(blocks=(1, 1, 1, 0, 0, 0, 0)), 64, "head/dropout"),
    (ConvNeXt(blocks=(1, 1, 1, 1)), 64, "head/flatten"),
]


def test_no_network_is_left_out():
    assert {config.name for config, *_ in PENULTIMATE} == set(models.NETWORKS)


@pytest.mark.parametrize(("config", "side", "layer"), [pytest.param(*case, id=case[0].name) for case in PENULTIMATE])
def test_the_penultimate_layer(config, side, layer):
    """The features are what the last layer of weights reads."""
    model, shape = models.create(config, 10), (side, side, 1 if side == 28 else 3)
    found = penultimate(model, shape)
    assert layer in (None, found)
    rows = {row.name: row for row in model.layers(shape)}
    last = next(row for row in reversed(model.layers(shape)) if row.kind != "global_avg_pool")
    assert rows[found.removesuffix("/activation")].output_shape == last.input_shape
    assert found in rows or found in model.activations(shape)


def test_too_few_pictures_or_labels_are_refused():
    config = config_of(Cnn(features=(2,), pooling="max", dense=()))
    variables = zeros(config, 8)
    pictures = np.zeros((3, 8, 8, 1), np.uint8)
    with pytest.raises(ValueError, match="1 pictures: expected at least 2"):
        behave(config, variables, SCALE, pictures[:1], None)
    with pytest.raises(ValueError, match="2 labels: expected 3"):
        behave(config, variables, SCALE, pictures, np.zeros(2, int))
