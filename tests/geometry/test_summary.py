"""The layer table against the lecture's."""

import ast
import csv
import json
import re

import jax
import pytest
from rich.console import Console

from cnn_jax import geometry, models
from cnn_jax.config.model import (
    AlexNet,
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
    MobileNetV2,
    MobileNetV3Large,
    MobileNetV3Small,
    Vgg,
    ZFNet,
)
from cnn_jax.geometry import formats
from cnn_jax.ops import GeometryError


def test_the_lectures_table():
    summary = geometry.summarize(Cnn(), (28, 28, 1), 10)
    assert [(row.output_shape, row.parameters) for row in summary.layers] == [
        ((26, 26, 32), 320),
        ((13, 13, 32), 0),
        ((11, 11, 64), 18496),
        ((5, 5, 64), 0),
        ((3, 3, 64), 36928),
        ((576,), 0),
        ((64,), 36928),
        ((10,), 650),
    ]
    assert summary.parameters == 93322
    assert sum(row.parameters for row in summary.layers[:5]) == 55744


@pytest.mark.parametrize(
    "config",
    [
        Cnn(features=(4, 6), kernel_size=(5, (1, 3)), strides=(2, 1), padding=("SAME", 1), pooling=("avg", "none")),
        Cnn(features=(3,), pooling="min", pool_window=3, pool_strides=1, pool_padding="SAME", dense=(), dropout=0.0),
        Cnn(features=(4,), pooling="none", dense=(8, 5), dropout=0.5),
    ],
)
def test_the_table_counts_what_the_network_has(config):
    summary = geometry.summarize(config, (17, 14, 3), 7)
    model = models.create(config, 7)
    variables = model.init(jax.random.key(0), (17, 14, 3))
    assert summary.parameters == sum(leaf.size for leaf in jax.tree.leaves(variables["params"]))
    for before, after in zip(summary.layers[1:], summary.layers, strict=False):
        assert before.input_shape == after.output_shape


def test_resolved_padding_is_shown():
    first = geometry.summarize(Cnn(padding="SAME", strides=2, pooling="none"), (28, 28, 1), 10).layers[0]
    assert (first.padding, first.pads) == ("SAME", ((0, 1), (0, 1)))


def test_a_collapse_names_the_layer_and_a_way_out():
    with pytest.raises(GeometryError, match=r"layer conv3, input 5x5x64: a window of 9 .* at most 5"):
        geometry.summarize(Cnn(kernel_size=(3, 3, 9)), (28, 28, 1), 10)
    with pytest.raises(GeometryError, match=r"layer pool2, input 1x1x64"):
        geometry.summarize(Cnn(), (9, 9, 1), 10)


def test_json_csv_and_terminal_hold_the_same():
    summary = geometry.summarize(Cnn(), (28, 28, 1), 10)
    from_json = json.loads(formats.as_json(summary))
    from_csv = list(csv.DictReader(formats.as_csv(summary).splitlines()))
    assert from_json["parameters"] == 93322
    assert [row["parameters"] for row in from_json["layers"]] == [int(row["parameters"]) for row in from_csv]
    assert from_csv[0]["output_shape"] == "26x26x32"
    console = Console(width=160)
    with console.capture() as capture:
        console.print(formats.as_table(summary))
    text = capture.get()
    assert "26x26x32" in text
    assert "Total parameters: 93,322" in text


def test_alexnets_map_sizes():
    """Table 13-2 of the lecture: 55 of 224 pixels takes pads of 1 and 2, which neither VALID nor SAME gives."""
    config = Cnn(
        features=(96, 256, 384, 384, 256),
        kernel_size=(11, 5, 3, 3, 3),
        strides=(4, 1, 1, 1, 1),
        padding=(((1, 2), (1, 2)), "SAME", "SAME", "SAME", "SAME"),
        pooling=("max", "max", "none", "none", "none"),
        pool_window=3,
        pool_strides=2,
        dense=(),
    )
    layers = geometry.summarize(config, (224, 224, 3), 1000).layers
    assert [row.output_shape[0] for row in layers if len(row.output_shape) == 3] == [55, 27, 27, 13, 13, 13, 13]


def test_multiply_adds_of_the_lectures_network():
    by_hand = [26 * 26 * 9 * 32, 0, 11 * 11 * 9 * 32 * 64, 0, 3 * 3 * 9 * 64 * 64, 0, 576 * 64, 64 * 10]
    summary = geometry.summarize(Cnn(), (28, 28, 1), 10)
    assert [row.multiply_adds for row in summary.layers] == by_hand
    assert summary.multiply_adds == sum(by_hand)
    grouped = geometry.summarize(Cnn(features=(8, 16), groups=(1, 4), dense=()), (28, 28, 1), 10).layers[2]
    assert (grouped.multiply_adds, grouped.parameters) == (11 * 11 * 9 * 2 * 16, 9 * 2 * 16 + 16)


RGB = (224, 224, 3)


def sizes(config, image_shape=RGB, kinds=("conv", "max_pool", "avg_pool", "global_avg_pool")):
    layers = geometry.summarize(config, image_shape, 1000).layers
    return {row.name: row.output_shape for row in layers if row.kind in kinds}


def test_the_lectures_tables_of_networks():
    """Tables 13-1 and 13-2, and table 1 of the GoogLeNet paper: every layer's maps."""
    lenet = geometry.summarize(LeNet5(), (28, 28, 1), 10).layers
    assert [row.output_shape for row in lenet] == [
        (32, 32, 1),
        (28, 28, 6),
        (14, 14, 6),
        (10, 10, 16),
        (5, 5, 16),
        (1, 1, 120),
        (120,),
        (84,),
        (10,),
    ]
    assert list(sizes(AlexNet()).values()) == [
        (55, 55, 96),
        (27, 27, 96),
        (27, 27, 256),
        (13, 13, 256),
        (13, 13, 384),
        (13, 13, 384),
        (13, 13, 256),
        (6, 6, 256),
    ]
    google = sizes(GoogLeNet(aux_heads=False)) | sizes(GoogLeNet(aux_heads=False), kinds=("concat",))
    expected = {"conv1": (112, 64), "pool1": (56, 64), "conv2": (56, 192), "pool2": (28, 192)}
    expected |= {"inception3a/concat": (28, 256), "inception3b/concat": (28, 480), "pool3": (14, 480)}
    expected |= {f"inception4{letter}/concat": (14, 512) for letter in "abc"}
    expected |= {"inception4d/concat": (14, 528), "inception4e/concat": (14, 832), "pool4": (7, 832)}
    expected |= {"inception5a/concat": (7, 832), "inception5b/concat": (7, 1024)}
    for name, (side, features) in expected.items():
        assert google[name] == (side, side, features), name
    assert google["head/pool"] == (1024,)
    whole = geometry.summarize(GoogLeNet(), RGB, 1000)
    assert (whole.parameters, whole.parameters - whole.auxiliary_parameters) == (13_378_280, 6_998_552)
    residual = sizes(ResNet(depth=50))
    assert residual["stem"] == (112, 112, 64)
    assert residual["stem_pool"] == (56, 56, 64)
    for stage, (side, features) in enumerate([(56, 256), (28, 512), (14, 1024), (7, 2048)], start=1):
        assert residual[f"stage{stage}_block2/conv3"] == (side, side, features)


# torchvision's, in billions, with two or three decimal places.
MULTIPLY_ADDS = {
    TorchvisionAlexNet(): 0.71,
    TorchvisionGoogLeNet(): 1.50,
    SqueezeNet10(): 0.819,
    SqueezeNet11(): 0.349,
    ResNet(): 1.81,
    ResNet(depth=34): 3.66,
    ResNet(depth=50): 4.09,
    ResNet(depth=101): 7.80,
    ResNet(depth=152): 11.51,
    ResNet(depth=50, bottleneck_width=2, bottleneck_groups=32): 4.23,
    Vgg(): 15.47,
    DenseNet(): 2.834,
    MobileNetV2(): 0.301,
    MobileNetV3Large(): 0.217,
    MobileNetV3Small(): 0.057,
    EfficientNet(): 0.386,
    ConvNeXt(): 4.456,
}
DEEPER = (ResNet(depth=34), ResNet(depth=101), ResNet(depth=152))


@pytest.mark.parametrize(
    ("config", "billions"),
    [
        pytest.param(*item, id=f"{item[0].name}-{item[1]}", marks=[pytest.mark.exhaustive] * (item[0] in DEEPER))
        for item in MULTIPLY_ADDS.items()
    ],
)
def test_published_multiply_adds(config, billions):
    assert geometry.summarize(config, RGB, 1000).multiply_adds / 1e9 == pytest.approx(billions, abs=0.005)


# Geometries that cannot work: config, image shape, the layer that says so.
REFUSED = [
    (Cnn(kernel_size=29), (28, 28, 1), "conv1"),
    (Cnn(kernel_size=((1, 29),), pooling="none"), (28, 28, 1), "conv1"),
    (Cnn(kernel_size=(3, 14, 3)), (28, 28, 1), "conv2"),
    (Cnn(), (2, 28, 1), "conv1"),
    (Cnn(), (3, 3, 1), "pool1"),
    (Cnn(), (13, 13, 1), "conv3"),
    (Cnn(strides=2), (28, 28, 1), "conv3"),
    (Cnn(strides=(1, 1, 3), pooling="max"), (28, 28, 1), "pool3"),
    (Cnn(pooling="max", pool_window=3), (28, 28, 1), "conv3"),
    (Cnn(pool_window=27), (28, 28, 1), "pool1"),
    (Cnn(pool_window=((2, 27),)), (28, 28, 1), "pool1"),
    (Cnn(pool_strides=9), (28, 28, 1), "pool2"),
    (Cnn(pooling="min", pool_window=6), (28, 28, 1), "pool2"),
    (Cnn(dilation=14), (28, 28, 1), "conv1"),
    (Cnn(dilation=(1, 7, 1)), (28, 28, 1), "conv2"),
    (Cnn(groups=2), (28, 28, 1), "conv1"),
    (Cnn(groups=(1, 3, 1)), (28, 28, 1), "conv2"),
    (Cnn(groups=(1, 32, 64), features=(32, 48, 64)), (28, 28, 1), "conv2"),
    (Cnn(groups=5), (28, 28, 3), "conv1"),
    (Cnn(padding="REFLECT", kernel_size=(3, 3, 15)), (28, 28, 1), "conv3"),
    (Cnn(padding="CIRCULAR", kernel_size=(3, 3, 17)), (28, 28, 1), "conv3"),
    (Cnn(padding="REFLECT"), (1, 28, 1), "conv1"),
    (Cnn(padding="REFLECT", strides=2), (3, 3, 1), "conv2"),
    (Cnn(pool_padding=2), (28, 28, 1), "pool1"),
    (Cnn(pool_padding=((0, 0), (0, 3)), pooling="avg"), (28, 28, 1), "pool1"),
    (Cnn(dense=(4_000_000,)), (28, 28, 1), "dense1"),
    (Cnn(features=(64,), pooling="none", dense=(4096,)), (224, 224, 3), "dense1"),
    (Cnn(lowering="winograd", kernel_size=5, padding="SAME"), (28, 28, 1), "conv1"),
]
# The same settings at other layers or values.
ALIKE = [
    (Cnn(kernel_size=(29, 1, 1)), (28, 28, 1), "conv1"),
    (Cnn(kernel_size=(3, 3, 6)), (28, 28, 1), "conv3"),
    (Cnn(), (2, 2, 1), "conv1"),
    (Cnn(), (28, 2, 1), "conv1"),
    (Cnn(), (7, 7, 1), "conv2"),
    (Cnn(), (9, 9, 1), "pool2"),
    (Cnn(), (17, 17, 1), "conv3"),
    (Cnn(strides=3), (28, 28, 1), "pool2"),
    (Cnn(pooling="max"), (20, 20, 1), "pool3"),
    (Cnn(pool_window=(2, 12, 2)), (28, 28, 1), "pool2"),
    (Cnn(pooling="avg", pool_window=4), (28, 28, 1), "conv3"),
    (Cnn(dilation=(1, 1, 3)), (28, 28, 1), "conv3"),
]
REFUSALS = [*REFUSED, *(pytest.param(*case, marks=pytest.mark.exhaustive) for case in ALIKE)]


@pytest.mark.parametrize(("config", "shape", "layer"), REFUSALS)
def test_a_refusal_names_its_layer_and_settings_that_pass(config, shape, layer):
    with pytest.raises(GeometryError) as caught:
        geometry.summarize(config, shape, 10)
    first, *proposals = str(caught.value).splitlines()
    assert re.match(rf"config\.model: layer (head/)?{layer}, input \d+(x\d+)*: ", first), first
    assert proposals, first
    for proposal in proposals:
        what = proposal.removeprefix("  this works: ")
        assert what != proposal
        if what.startswith("images of "):
            height, width = map(int, what.removeprefix("images of ").split("x"))
            geometry.summarize(config, (height, width, shape[2]), 10)
        else:
            field, value = what.removeprefix("config.model.").split("=")
            changed = config.model_dump() | {field: value if value.isalpha() else ast.literal_eval(value)}
            geometry.summarize(Cnn(**changed), shape, 10)


def test_zfnets_maps_are_those_of_the_figure():
    layers = {row.name: row.output_shape for row in geometry.summarize(ZFNet(), RGB, 1000).layers}
    sides = {"conv1": 110, "pool1": 55, "conv2": 26, "pool2": 13, "conv3": 13, "conv4": 13, "conv5": 13, "pool5": 6}
    assert {name: layers[name][:2] for name in sides} == {name: (side, side) for name, side in sides.items()}
