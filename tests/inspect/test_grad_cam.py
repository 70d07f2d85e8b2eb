"""Grad-CAM beside NumPy, its default layer for every network, and maps with nothing positive."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

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
from cnn_jax.inspect.attribution import guided_backprop
from cnn_jax.inspect.grad_cam import grad_cam, guided_grad_cam, last_maps
from cnn_jax.layer_rows import Branches, LayerRow, emit

LAST_MAPS = [
    (Cnn(), 28, "conv3/activation", (3, 3, 64)),
    (Cnn(pooling="max", features=(8, 8)), 28, "conv2/activation", (11, 11, 8)),
    (Cnn(norm="batch"), 28, "conv3/norm/activation", (3, 3, 64)),
    (Cnn(norm="batch", order="norm-activation-conv"), 28, "conv3", (3, 3, 64)),
    (Cnn(norm="batch", order="conv-activation-norm", pooling="max"), 28, "conv3/norm", (3, 3, 64)),
    (LeNet5(padding="SAME"), 28, "C5/activation", (8, 8, 120)),
    (LeNet5(), 28, "C3/activation", (10, 10, 16)),  # C5's maps have one place
    (LeNet5(subsampling="trainable", connection="table", output="rbf"), 32, "C3/activation", (10, 10, 16)),
    (AlexNet(), 224, "conv5/activation", (13, 13, 256)),
    (AlexNet(last_pool=False, pooling="avg"), 224, "conv5/activation", (13, 13, 256)),
    (TorchvisionAlexNet(), 224, "conv5/activation", (13, 13, 256)),
    (GoogLeNet(modules=(1, 1, 2)), 224, "inception5b/concat", (7, 7, 1024)),
    (GoogLeNet(modules=(1, 2, 0)), 224, "inception4b/concat", (14, 14, 512)),
    (TorchvisionGoogLeNet(modules=(0, 1, 2), aux_heads=True), 224, "inception5b/concat", (7, 7, 1024)),
    (SqueezeNet10(modules=3, pool_after=(1, 2, 3)), 224, "fire4/concat", (13, 13, 256)),
    (SqueezeNet11(modules=3), 224, "fire4/concat", (27, 27, 256)),
    (ResNet(depth=18), 224, "stage4_block2/add/activation", (7, 7, 512)),
    (ResNet(depth=50), 224, "stage4_block3/add/activation", (7, 7, 2048)),
    (ResNet(depth=18, shortcut="none"), 224, "stage4_block2/conv2/norm/activation", (7, 7, 512)),
    (ResNet(depth=18, activation_order="pre"), 224, "last/norm/activation", (7, 7, 512)),
    (CifarResNet(depth=8), 32, "stage3_block1/add/activation", (8, 8, 64)),
    (CifarResNet(depth=8, activation_order="pre"), 32, "last/norm/activation", (8, 8, 64)),
    (CifarResNet(depth=8, activation_order="pre", norm="none"), 32, "stage3_block1/add/activation", (8, 8, 64)),
    (ResNet(depth=18), 32, "stage3_block2/add/activation", (2, 2, 256)),  # the last stage's maps have one place
    (ZFNet(), 224, "conv5/activation", (13, 13, 256)),
    (Vgg(depth=11), 224, "conv5_2/activation", (14, 14, 512)),
    (InceptionV3(modules=(0, 1, 1)), 299, "mixed7b/concat", (8, 8, 2048)),
    (DenseNet(blocks=(1, 1, 1, 1)), 224, "last/norm/activation", (7, 7, 68)),
    (MobileNetV2(blocks=(1, 1, 1, 1, 0, 1, 0)), 224, "last/norm/activation", (7, 7, 1280)),
    (MobileNetV3Large(modules=5), 224, "last/norm/activation", (28, 28, 240)),
    (MobileNetV3Small(modules=4), 224, "last/norm/activation", (14, 14, 240)),
    (EfficientNet(blocks=(1, 1, 1, 1, 0, 1, 0)), 224, "last/norm/activation", (7, 7, 1280)),
    (ConvNeXt(blocks=(1, 1, 1, 1)), 224, "stage4_block1/add", (7, 7, 768)),
]
# The whole networks of more blocks.
WHOLE = [
    (GoogLeNet(), 224, "inception5b/concat", (7, 7, 1024)),
    (GoogLeNet(modules=(2, 2, 0)), 224, "inception4b/concat", (14, 14, 512)),
    (TorchvisionGoogLeNet(aux_heads=True), 224, "inception5b/concat", (7, 7, 1024)),
    (SqueezeNet10(), 224, "fire9/concat", (13, 13, 512)),
    (SqueezeNet11(), 224, "fire9/concat", (13, 13, 512)),
    (ResNet(depth=50, activation_order="pre"), 224, "last/norm/activation", (7, 7, 2048)),
    (CifarResNet(), 32, "stage3_block3/add/activation", (8, 8, 64)),
    (CifarResNet(activation_order="pre"), 32, "last/norm/activation", (8, 8, 64)),
    (CifarResNet(activation_order="pre", norm="none"), 32, "stage3_block3/add/activation", (8, 8, 64)),
    (Vgg(), 224, "conv5_3/activation", (14, 14, 512)),
    (MobileNetV2(), 224, "last/norm/activation", (7, 7, 1280)),
    (MobileNetV3Large(), 224, "last/norm/activation", (7, 7, 960)),
    (MobileNetV3Small(), 224, "last/norm/activation", (7, 7, 576)),
    (EfficientNet(), 224, "last/norm/activation", (7, 7, 1280)),
    (ConvNeXt(), 224, "stage4_block3/add", (7, 7, 768)),
]
CASES = [
    pytest.param(*case, id=f"{case[0].name}-{number}", marks=[pytest.mark.exhaustive] * (case in WHOLE))
    for number, case in enumerate([*LAST_MAPS, *WHOLE])
]


def test_no_network_is_left_out():
    assert {config.name for config, *_ in LAST_MAPS} == set(models.NETWORKS)


@pytest.mark.parametrize(("config", "side", "layer", "shape"), CASES)
def test_the_last_maps(config, side, layer, shape):
    model, image_shape = models.create(config, 10), (side, side, 1 if side == 28 else 3)
    assert last_maps(model, image_shape) == layer
    variables = model.variable_shapes(image_shape)
    (maps,) = jax.eval_shape(
        lambda *both: list(model.apply_with_layers(*both, capture=(layer,))[3].values()),
        variables,
        jax.ShapeDtypeStruct((2, *image_shape), jnp.float32),
    )
    assert maps.shape == (2, *shape)


class TwoPaths(nn.Module):
    """Two convolutions of the image side by side, whose means alone meet."""

    @nn.compact
    def __call__(self, images, train):
        branches, means = Branches(), []
        for name in ("left", "right"):
            with branches.branch():
                maps = nn.Conv(4, (3, 3), name=name)(images)
                row = LayerRow(f"{name}_pool", "global_avg_pool", maps.shape[1:], maps.shape[3:])
                means.append(emit(row, maps.mean((1, 2))))
        return nn.Dense(3, name="logits")(means[0] + means[1]), ()


def test_no_maps_are_taken_that_a_path_leads_around():
    model = models.Model(TwoPaths())
    with pytest.raises(ValueError, match=r"no layer with maps lies on all paths .* name a layer"):
        last_maps(model, (8, 8, 1))
    variables = model.init(jax.random.key(0), (8, 8, 1))
    images, classes = np.ones((2, 8, 8, 1)), np.array([0, 1])
    with pytest.raises(ValueError, match="no layer with maps"):
        grad_cam(model, variables, images, classes)
    cam = grad_cam(model, variables, images, classes, "left")
    to_logits = np.asarray(variables["params"]["logits"]["kernel"])
    np.testing.assert_allclose(cam.weights, to_logits[:, :2].T / 64, rtol=1e-5)


@pytest.fixture(scope="module")
def small():
    model = models.create(Cnn(features=(3, 4), pooling=("max", "avg"), dense=(5,)), 3)
    variables = model.init(jax.random.key(1), (14, 12, 2))
    images = np.random.default_rng(0).standard_normal((4, 14, 12, 2)).astype(np.float32)
    return model, variables, images, np.array([0, 1, 2, 1])


def test_beside_numpy(small):
    """From the maps of the second convolution on: mean pooling of 2x2, a hidden layer, the logits."""
    model, variables, images, classes = small
    head = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), variables["params"]["head"])
    outputs = model.apply_with_layers(variables, jnp.asarray(images), ("conv2",))[3]
    conv2 = np.asarray(outputs["conv2"], np.float64)
    assert conv2.shape == (4, 4, 3, 4)  # the last column is not pooled
    maps = np.maximum(conv2, 0)
    pooled = maps[:, :, :2].reshape(4, 2, 2, 1, 2, 4).mean((2, 4))
    hidden = pooled.reshape(4, -1) @ head["dense1"]["kernel"] + head["dense1"]["bias"]
    back = (hidden > 0) * head["logits"]["kernel"][:, classes].T @ head["dense1"]["kernel"].T
    gradients = np.zeros_like(maps)
    gradients[:, :, :2] = np.repeat(np.repeat(back.reshape(4, 2, 1, 4) / 4, 2, axis=1), 2, axis=2)
    weights = gradients.mean((1, 2))
    expected = (maps * weights[:, None, None]).sum(-1)
    assert (expected > 0).any()
    assert (expected < 0).any()
    result = grad_cam(model, variables, images, classes)
    assert result.layer == "conv2/activation"
    np.testing.assert_allclose(result.weights, weights, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(result.maps, expected, rtol=1e-4, atol=1e-6)
    for heatmap, cam in zip(result.heatmaps, expected, strict=True):
        enlarged = Image.fromarray(np.maximum(cam, 0).astype(np.float32)).resize((12, 14), Image.Resampling.BILINEAR)
        np.testing.assert_allclose(heatmap, np.asarray(enlarged), rtol=1e-4, atol=1e-5)
    # Before the activation the gradients are cut off where it is closed.
    before = grad_cam(model, variables, images, classes, "conv2")
    weights = (gradients * (conv2 > 0)).mean((1, 2))
    np.testing.assert_allclose(before.maps, (conv2 * weights[:, None, None]).sum(-1), rtol=1e-4, atol=1e-6)


def test_guided(small):
    model, variables, images, classes = small
    result = guided_grad_cam(model, variables, images, classes)
    cam = grad_cam(model, variables, images, classes)
    np.testing.assert_array_equal(result.grad_cam.heatmaps, cam.heatmaps)
    expected = guided_backprop(model, variables, images, classes) * cam.heatmaps[..., None]
    assert expected.any()
    np.testing.assert_allclose(result.attributions, expected, rtol=1e-6)


def test_maps_with_nothing_positive_are_told_of():
    """The maps are max(x - 2, 0); the weights' means are 0.5, -2 and 0."""
    config = Cnn(features=(1,), kernel_size=1, pooling="none", dense=())
    weights = np.array([[1, -1, 0], [2, -2, 0], [3, -3, 0], [-4, -2, 0]], np.float32)
    params = {
        "conv1": {"kernel": jnp.ones((1, 1, 1, 1)), "bias": jnp.array([-2.0])},
        "head": {"logits": {"kernel": jnp.asarray(weights), "bias": jnp.zeros(3)}},
    }
    image = np.array([[1, 2], [3, 4]], np.float32)[:, :, None]
    images = np.stack([image, image, image, np.zeros_like(image)])
    result = grad_cam(models.create(config, 3), {"params": params}, images, np.array([0, 1, 2, 1]))
    np.testing.assert_array_equal(result.weights[:, 0], [0.5, -2, 0, -2])
    expected = [[[0, 0], [0.5, 1]], [[0, 0], [-2, -4]], np.zeros((2, 2)), np.zeros((2, 2))]
    np.testing.assert_array_equal(result.maps, expected)
    np.testing.assert_array_equal(result.heatmaps, np.maximum(expected, 0))
    assert [remark and remark.split(":")[0] for remark in result.remarks] == [
        None,
        "Grad-CAM is negative or zero everywhere",
        "Grad-CAM is zero everywhere",
        "Grad-CAM is zero everywhere",
    ]


def test_layers_that_will_not_do(small):
    model, variables, images, classes = small
    with pytest.raises(ValueError, match="layer 'head/dense1' has no maps, but 5 values for each image"):
        grad_cam(model, variables, images, classes, "head/dense1")
    with pytest.raises(ValueError, match="no layer 'conv3'; did you mean"):
        grad_cam(model, variables, images, classes, "conv3")
    with pytest.raises(ValueError, match="no layer 'pool1/activation'; did you mean"):
        grad_cam(model, variables, images, classes, "pool1/activation")
