"""The registry, and exact parameter counts for every network in it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from support.gradients import applied

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

RGB, GREY = (224, 224, 3), (28, 28, 1)
WRN = CifarResNet(depth=28, widen=10, activation_order="pre", shortcut="projection")
# (config, image shape, classes, published count): the lecture; LeCun et al., 1998, section II.B (60,000); torchvision;
# He et al., 2016, table 6 (0.27, 0.46, 0.66, 0.85, 1.7 million); Zagoruyko and Komodakis, 2016, table 4 (36.5 million);
# ZFNet by hand from the figure.
COUNTS = [
    (Cnn(), GREY, 10, 93_322),
    (LeNet5(), GREY, 10, 61_706),
    (
        LeNet5(subsampling="trainable", connection="table", output="rbf", prototypes="digits"),
        GREY,
        10,
        60_000,
    ),
    (LeNet5(output="rbf", prototypes="learned"), GREY, 10, 61_706 - 850 + 840),
    (AlexNet(), RGB, 1000, 62_378_344),
    (AlexNet(last_pool=False), RGB, 1000, 201_838_952),
    (AlexNet(groups=2), RGB, 1000, 60_965_224),
    (TorchvisionAlexNet(), RGB, 1000, 61_100_840),
    (GoogLeNet(), RGB, 1000, 13_378_280),
    (GoogLeNet(aux_heads=False), RGB, 1000, 6_998_552),
    (TorchvisionGoogLeNet(), RGB, 1000, 6_624_904),
    (TorchvisionGoogLeNet(aux_heads=True), RGB, 1000, 13_004_888),
    (SqueezeNet10(), RGB, 1000, 1_248_424),
    (SqueezeNet11(), RGB, 1000, 1_235_496),
    (ResNet(), RGB, 1000, 11_689_512),
    (ResNet(depth=34), RGB, 1000, 21_797_672),
    (ResNet(depth=50), RGB, 1000, 25_557_032),
    (ResNet(depth=50, stride_in="1x1"), RGB, 1000, 25_557_032),
    (ResNet(depth=50, bottleneck_width=2), RGB, 1000, 68_883_240),
    (ResNet(depth=50, bottleneck_width=2, bottleneck_groups=32), RGB, 1000, 25_028_904),
    (CifarResNet(), (32, 32, 3), 10, 269_722),
    (CifarResNet(shortcut="none"), (32, 32, 3), 10, 269_722),
    (WRN, (32, 32, 3), 10, 36_479_194),
    (ZFNet(), RGB, 1000, 62_357_608),
    (Vgg(depth=11), RGB, 1000, 132_863_336),
    (Vgg(), RGB, 1000, 138_357_544),
    (Vgg(norm="batch"), RGB, 1000, 138_365_992),
    (InceptionV3(), (299, 299, 3), 1000, 27_161_264),
    (InceptionV3(aux_heads=False), (299, 299, 3), 1000, 23_834_568),
    (DenseNet(), RGB, 1000, 7_978_856),
    (MobileNetV2(), RGB, 1000, 3_504_872),
    (MobileNetV3Large(), RGB, 1000, 5_483_032),
    (MobileNetV3Small(), RGB, 1000, 2_542_856),
    (EfficientNet(), RGB, 1000, 5_288_548),
    (ConvNeXt(), RGB, 1000, 28_589_128),
]
# Deeper ones of the same kinds of blocks.
DEEPER = [
    (ResNet(depth=101), RGB, 1000, 44_549_160),
    (ResNet(depth=152), RGB, 1000, 60_192_808),
    (ResNet(depth=101, bottleneck_width=4, bottleneck_groups=32), RGB, 1000, 88_791_336),
    (ResNet(depth=101, bottleneck_width=4, bottleneck_groups=64), RGB, 1000, 83_455_272),
    (CifarResNet(depth=32), (32, 32, 3), 10, 464_154),
    (CifarResNet(depth=44), (32, 32, 3), 10, 658_586),
    (CifarResNet(depth=56), (32, 32, 3), 10, 853_018),
    (CifarResNet(depth=110), (32, 32, 3), 10, 1_727_962),
    (Vgg(depth=13), RGB, 1000, 133_047_848),
    (Vgg(depth=19, norm="batch"), RGB, 1000, 143_678_248),
    (DenseNet(blocks=(6, 12, 36, 24), growth=48, stem_features=96), RGB, 1000, 28_681_000),
    (DenseNet(blocks=(6, 12, 32, 32)), RGB, 1000, 14_149_480),
    (DenseNet(blocks=(6, 12, 48, 32)), RGB, 1000, 20_013_928),
]
CASES = [*COUNTS, *(pytest.param(*case, marks=pytest.mark.exhaustive) for case in DEEPER)]


def test_every_network_has_its_count():
    assert {config.name for config, *_ in COUNTS} == set(models.NETWORKS)


@pytest.mark.parametrize(("config", "image_shape", "classes", "count"), CASES)
def test_parameter_counts(config, image_shape, classes, count):
    model = models.create(config, classes)
    shapes = jax.eval_shape(lambda key: model.init(key, image_shape), jax.random.key(0))
    assert sum(leaf.size for leaf in jax.tree.leaves(shapes["params"])) == count
    assert jax.tree.map(typed, shapes) == jax.tree.map(typed, model.variable_shapes(image_shape))
    assert sum(row.parameters for row in model.layers(image_shape)) == count


def typed(leaf):
    return leaf.shape, leaf.dtype, leaf.weak_type


def test_the_lectures_network_by_hand():
    """Convolutions, pooling and dense layers in NumPy, from the definition."""
    config = Cnn(features=(2, 3), pooling=("max", "none"), dense=(4,))
    model = models.create(config, 5)
    variables = model.init(jax.random.key(1), (8, 8, 1))
    image = np.random.default_rng(0).random((1, 8, 8, 1)).astype(np.float32)
    logits, aux, stats = applied(model, variables, jnp.asarray(image), False)
    params = jax.tree.map(np.asarray, variables["params"])

    def convolve(x, layer):
        kernel, bias = layer["kernel"], layer["bias"]
        side = x.shape[0] - 2
        windows = [[x[i : i + 3, j : j + 3] for j in range(side)] for i in range(side)]
        return np.maximum(np.einsum("ijhwc,hwco->ijo", np.array(windows), kernel) + bias, 0)

    x = convolve(image[0], params["conv1"])
    x = x.reshape(3, 2, 3, 2, 2).max(axis=(1, 3))
    x = convolve(x, params["conv2"]).reshape(-1)
    head = params["head"]
    x = np.maximum(x @ head["dense1"]["kernel"] + head["dense1"]["bias"], 0)
    expected = x @ head["logits"]["kernel"] + head["logits"]["bias"]
    np.testing.assert_allclose(logits[0], expected, rtol=1e-5, atol=1e-6)
    assert aux == ()
    assert not stats


def test_glorot_uniform_as_keras_draws_it():
    kernel = models.create(Cnn(), 10).init(jax.random.key(0), (28, 28, 1))["params"]["conv2"]["kernel"]
    limit = np.sqrt(6 / (9 * 32 + 9 * 64))  # fan in and out count the window
    assert 0.98 * limit < float(jnp.abs(kernel).max()) <= limit
    # of 18,432 uniform draws the deviation is within 2 % of limit / sqrt(3), six of its standard errors
    assert float(kernel.std()) == pytest.approx(limit / np.sqrt(3), rel=0.02)


def test_dropout_is_for_training_alone():
    model = models.create(Cnn(features=(4,), pooling="none", dense=(64,), dropout=0.5), 10)
    variables = model.init(jax.random.key(0), (8, 8, 1))
    images = jnp.ones((2, 8, 8, 1))
    calm = [applied(model, variables, images, False)[0] for _ in range(2)]
    wild = [applied(model, variables, images, True, jax.random.key(seed))[0] for seed in (1, 1, 2)]
    assert np.array_equal(calm[0], calm[1])
    assert np.array_equal(wild[0], wild[1])
    assert not np.array_equal(wild[0], wild[2])


def test_an_unknown_name_lists_the_known():
    with pytest.raises(ValueError, match="expected one of: alexnet, "):
        models.create(Cnn.model_construct(name="cnm"), 10)
