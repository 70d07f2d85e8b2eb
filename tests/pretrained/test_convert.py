"""Networks with torchvision's weights against torchvision's outputs, and what does not fit."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from golden_weights import images_of
from peers.torchvision_outputs import LABELS

from cnn_jax import models
from cnn_jax.config.model import (
    AlexNet,
    ResNet,
    SqueezeNet10,
    SqueezeNet11,
    TorchvisionAlexNet,
    TorchvisionGoogLeNet,
)
from cnn_jax.config.networks import ConvNeXt, DenseNet, EfficientNet, MobileNetV2, MobileNetV3Small, Vgg
from cnn_jax.pretrained import WeightsError, from_torch, to_torch
from cnn_jax.pretrained.convert import adapted
from cnn_jax.pretrained.tensors import Unread

# XLA's own convolutions compile in a tenth of the time; the lowerings' equality is tested with the ops.
NETWORKS = {
    "alexnet": TorchvisionAlexNet(lowering="xla"),
    "googlenet": TorchvisionGoogLeNet(lowering="xla"),
    "squeezenet1_0": SqueezeNet10(lowering="xla"),
    "squeezenet1_1": SqueezeNet11(lowering="xla"),
    "resnet18": ResNet(lowering="xla"),
    "resnet50": ResNet(depth=50, lowering="xla"),
}

# Small ones of torchvision's classes, as `peers.torchvision_outputs` builds them.
SMALL = {
    "vgg_small": Vgg(depth=11, width=0.125, norm="batch", head_size=2, dense=(12, 12), dropout=0.0),
    "densenet_small": DenseNet(blocks=(2, 1), growth=4, bottleneck=2, stem_features=6),
    "mobilenet_v2_small": MobileNetV2(width=0.25, blocks=(1, 2, 1, 0, 0, 0, 0), dropout=0.0),
    "mobilenet_v3_small_small": MobileNetV3Small(width=0.5, modules=4, head_features=128, dropout=0.0),
    "efficientnet_small": EfficientNet(width=0.25, blocks=(1, 2, 1, 0, 0, 0, 0), dropout=0.0, drop_path=0.0),
    "convnext_small": ConvNeXt(features=(8, 12, 16, 20), blocks=(1, 1, 2, 1), drop_path=0.0),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_logits_are_torchvisions(name, golden, reference_weights):
    weights, config = reference_weights(name), NETWORKS[name]
    variables = from_torch(weights, config)
    images = images_of("eval").transpose(0, 2, 3, 1)
    model = models.create(config, 1000)
    logits = jax.jit(lambda variables, images: model.apply(variables, images, train=False)[0])(variables, images)
    expected = np.load(golden / f"{name}_eval.npz")["logits"]
    # 3e-6 was seen; sums of float32 in another order come to that over up to 50 layers
    assert np.abs(logits - expected).max() < 1e-5 * expected.std()
    back = to_torch(variables, config)
    assert set(back) == set(weights)
    for entry, array in weights.items():
        assert back[entry].dtype == array.dtype
        np.testing.assert_array_equal(back[entry], array, err_msg=entry)


@pytest.mark.parametrize(
    ("name", "config", "entries"),
    [
        ("resnet18", NETWORKS["resnet18"], 62 + 40),  # parameters, running means and variances
        ("squeezenet1_1", SqueezeNet11(lowering="xla", dropout=0.0), 52),
    ],
)
def test_a_training_pass_is_torchvisions(name, config, entries, golden, reference_weights):
    variables = from_torch(reference_weights(name), config)
    expected = np.load(golden / f"{name}_train.npz")
    assert compare_training(config, variables, images_of("train"), LABELS, expected) == entries


def compare_training(config, variables, images, labels, expected):
    """Compares loss, norms of gradients and running statistics of a training pass; tells how many entries."""
    model = models.create(config, variables["params"]["head"]["logits"]["bias"].size)
    images, labels = jnp.asarray(images.transpose(0, 2, 3, 1)), jnp.array(labels)

    def loss_of(params):
        now = {**variables, "params": params}
        logits, _, batch_stats = model.apply(now, images, train=True)
        return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean(), batch_stats

    (loss, batch_stats), gradients = jax.jit(jax.value_and_grad(loss_of, has_aux=True))(variables["params"])
    assert float(loss) == pytest.approx(float(expected["loss"]), rel=1e-4)
    got = to_torch({"params": gradients, "batch_stats": batch_stats}, config)
    largest = max(float(expected[entry]) for entry in expected.files if entry.startswith("gradnorm"))
    compared = 0
    for entry in expected.files:
        what, _, name = entry.partition("/")
        if what == "gradnorm":
            # 64 images' places at the last layers: sums that nearly cancel lose three digits, and those of a bias
            # before batch norm cancel
            close = pytest.approx(float(expected[entry]), rel=1e-3, abs=1e-5 * largest)
            assert np.linalg.norm(got[name]) == close, entry
            compared += 1
        elif what == "buffer" and not name.endswith("num_batches_tracked"):
            np.testing.assert_allclose(got[name], expected[entry], rtol=1e-3, atol=1e-5, err_msg=entry)
            compared += 1
    return compared


@pytest.mark.parametrize("name", SMALL)
def test_small_networks_are_torchvisions(name, golden, reference_weights):
    """Names and shapes there and back, logits in evaluation, and a training pass."""
    weights, config = reference_weights(name), SMALL[name].model_copy(update={"lowering": "xla"})
    variables = from_torch(weights, config)
    images = images_of("small")
    model = models.create(config, 10)
    logits = jax.jit(lambda v, x: model.apply(v, x, train=False)[0])(variables, images.transpose(0, 2, 3, 1))
    expected = np.load(golden / f"{name}_eval.npz")["logits"]
    assert np.abs(logits - expected).max() < 1e-4 * expected.std()
    back = to_torch(variables, config)
    assert back.keys() == weights.keys()
    for entry, array in weights.items():
        np.testing.assert_array_equal(back[entry], array, err_msg=entry)
    trained = np.load(golden / f"{name}_train.npz")
    assert compare_training(config, variables, images, LABELS[:2], trained) == len(trained.files) - 1


@pytest.mark.parametrize("name", SMALL)
def test_timms_names_there_and_back(name, reference_weights):
    """Which library's names a file has is told by them; `make test-peers` compares them with torchvision's."""
    config = SMALL[name]
    variables = from_torch(reference_weights(name), config)
    if name == "densenet_small":
        entries = to_torch(variables, config, "timm")
        older = {re.sub(r"(denselayer1\.(?:norm|conv))([12])", r"\1.\2", entry): v for entry, v in entries.items()}
        assert "features.denseblock1.denselayer1.norm.2.running_var" in older
        jax.tree.map(np.testing.assert_array_equal, from_torch(older, config), variables)
        return
    entries = to_torch(variables, config, "timm")
    assert entries.keys() != reference_weights(name).keys()
    expected = {
        "vgg_small": ("pre_logits.fc1.weight", (12, 64, 2, 2)),
        "mobilenet_v2_small": ("blocks.1.1.conv_pwl.weight", (8, 48, 1, 1)),
        "mobilenet_v3_small_small": ("blocks.2.0.se.conv_reduce.weight", (16, 48, 1, 1)),
        "efficientnet_small": ("blocks.0.0.conv_pw.weight", (8, 8, 1, 1)),
        "convnext_small": ("stages.2.blocks.1.mlp.fc1.weight", (64, 16)),
    }[name]
    assert entries[expected[0]].shape == expected[1]
    jax.tree.map(np.testing.assert_array_equal, from_torch(entries, config), variables)


def test_every_fault_is_listed(reference_weights):
    weights = reference_weights("resnet18")
    del weights["layer1.0.conv1.weight"], weights["bn1.running_mean"]
    weights["layer2.0.conv1.weight"] = weights["layer2.0.conv1.weight"][..., :2]
    weights["classifier.bias"] = np.zeros(3)
    with pytest.raises(WeightsError) as caught:
        from_torch(weights, ResNet())
    text = str(caught.value)
    assert "2 missing: bn1.running_mean, layer1.0.conv1.weight" in text
    assert "1 left over: classifier.bias" in text
    assert "1 misshapen: layer2.0.conv1.weight is 128x64x3x2, the network's is 128x64x3x3" in text


def test_numbers_that_are_no_weights_are_refused(reference_weights):
    weights = reference_weights("resnet18")
    weights["bn1.bias"] = weights["bn1.bias"].astype(np.int8)
    weights["bn1.weight"] = weights["bn1.weight"].astype(np.complex64)
    weights["fc.bias"] = weights["fc.bias"].astype(np.float16)
    with pytest.raises(WeightsError, match=r"2 of another type .*: bn1\.bias is int8, bn1\.weight is complex64$"):
        from_torch(weights, ResNet())
    weights = reference_weights("resnet18")
    for entry, number in (("fc.bias", np.nan), ("bn1.running_var", np.inf)):
        weights[entry] = weights[entry].copy()
        weights[entry][3] = number
    weights["fc.weight"] = weights["fc.weight"].astype(np.float64)
    weights["fc.weight"][0, 0] = 1e300  # too large for float32
    with pytest.raises(WeightsError, match=r"3 not finite: bn1\.running_var, fc\.bias, fc\.weight$"):
        from_torch(weights, ResNet())


def test_what_was_not_read_is_missing_with_its_reason_or_not_needed(reference_weights):
    weights = reference_weights("resnet18") | {"n_averaged": np.int64(3), "extra": Unread("an object of a.b")}
    variables = from_torch(weights, ResNet())
    np.testing.assert_array_equal(variables["params"]["head"]["logits"]["bias"], weights["fc.bias"])
    weights["fc.bias"] = Unread("a sparse tensor", ".to_dense()")
    with pytest.raises(WeightsError, match=r"1 missing: fc\.bias \(a sparse tensor; save it with \.to_dense\(\)\)"):
        from_torch(weights, ResNet())


@pytest.mark.parametrize(
    ("name", "logits", "first"),
    [
        ("resnet18", "fc.", "stem"),
        ("vgg_small", "classifier.6.", "conv1_1"),
        pytest.param("alexnet", "classifier.6.", "conv1", marks=pytest.mark.exhaustive),
    ],
)
def test_weights_without_logits(name, logits, first, reference_weights):
    config = (NETWORKS | SMALL)[name]
    weights = reference_weights(name)
    headless = {entry: array for entry, array in weights.items() if not entry.startswith(logits)}
    assert len(headless) == len(weights) - 2
    with pytest.raises(WeightsError, match="2 missing: "):
        from_torch(headless, config)
    # another head, as a project of its own has it, is no matter either
    for entries in (headless, headless | {logits + "1.weight": np.zeros((7, 3))}, weights):
        got = from_torch(entries, config, with_logits=False)
        assert "logits" not in got["params"].get("head", {})
        kernel = next(array for entry, array in weights.items() if array.ndim == 4)
        np.testing.assert_array_equal(got["params"][first]["kernel"], kernel.transpose(2, 3, 1, 0))
    with pytest.raises(WeightsError, match=r"1 left over: other\.weight"):
        from_torch(headless | {"other.weight": np.zeros(3)}, config, with_logits=False)


@pytest.mark.parametrize("shape", [(), (64,), (64, 0, 7, 7), (0, 3, 7, 7), (64, 3, 7)])
@pytest.mark.parametrize("channels", [1, 3])
def test_first_kernels_of_odd_shapes(reference_weights, shape, channels):
    weights = reference_weights("resnet18") | {"conv1.weight": np.zeros(shape, np.float32)}
    with pytest.raises(WeightsError, match=r"1 misshapen: conv1\.weight is "):
        from_torch(adapted(weights, ResNet(), channels), ResNet())


def test_left_over_auxiliary_heads_name_the_field(reference_weights):
    weights = reference_weights("googlenet") | {"aux1.fc2.bias": np.zeros(1000)}
    with pytest.raises(WeightsError, match=r"1 left over: aux1\.fc2\.bias\n.*aux_heads=true"):
        from_torch(weights, TorchvisionGoogLeNet())


def test_auxiliary_heads_there_and_back():
    """A flattened 4x4 map in front of a dense layer changes its order, and nothing is lost."""
    config = TorchvisionGoogLeNet(aux_heads=True, width=0.1, aux_dense=8)
    model = models.create(config, 5)
    shapes = model.variable_shapes((64, 64, 3))
    rng = np.random.default_rng(0)
    variables = jax.tree.map(lambda leaf: rng.standard_normal(leaf.shape).astype(np.float32), shapes)
    entries = to_torch(variables, config)
    features = config.width * 128
    assert entries["aux1.fc1.weight"].shape == (8, round(features) * 16)
    # PyTorch's input number c * 16 + row * 4 + column is ours (row * 4 + column) * channels + c
    kernel = variables["params"]["aux1"]["head"]["dense1"]["kernel"]
    assert entries["aux1.fc1.weight"][3, 2 * 16 + 1 * 4 + 3] == kernel[(1 * 4 + 3) * round(features) + 2, 3]
    jax.tree.map(np.testing.assert_array_equal, from_torch(entries, config), variables)


@pytest.mark.parametrize("config", [AlexNet(), ResNet(activation_order="pre"), ResNet(shortcut="padded", norm="group")])
def test_unpublished_networks_are_refused(config):
    with pytest.raises(WeightsError, match=r"config\.model\.name=|missing"):
        from_torch({}, config)


def test_grey_images_see_the_sum_of_the_channels(reference_weights):
    weights = reference_weights("resnet18")
    grey = adapted(weights, ResNet(), 1)
    np.testing.assert_array_equal(grey["conv1.weight"], weights["conv1.weight"].sum(1, keepdims=True))
    assert from_torch(grey, ResNet())["params"]["stem"]["kernel"].shape == (7, 7, 1, 64)
    assert adapted(weights, ResNet(), 3)["conv1.weight"] is weights["conv1.weight"]
    with pytest.raises(WeightsError, match="images have 4 channels"):
        adapted(weights, ResNet(), 4)
