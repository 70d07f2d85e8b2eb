"""Strongest patches: a network worked out in NumPy, and patches of every network that give the responses alone."""

import dataclasses
import re

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from support.gradients import applied
from support.network_cases import network_cases
from support.tiny_networks import SIDE, TINY

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
from cnn_jax.data.device.pipeline import Normalization
from cnn_jax.geometry.unit_fields import UnitFields
from cnn_jax.inspect import patches as patches_module
from cnn_jax.inspect.patches import denormalizing, feature_maps, top_patches
from cnn_jax.inspect.reconstruction import recompute
from cnn_jax.inspect.strongest import TopUnits, cut

SHAPE = (10, 13, 1)
RULES = ("gradient", "guided", "deconvnet")
TO_PIXELS = denormalizing(Normalization(jnp.array([100.0]), jnp.array([40.0])))


@pytest.fixture(scope="module", autouse=True)
def quickly():
    """Programs of one use are compiled without optimizations."""
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", False)


@pytest.fixture(scope="module")
def small():
    """Two convolutions with zeros around their maps and a max pooling between them; forty images."""
    config = Cnn(features=(2, 3), padding="SAME", pooling=("max", "none"), dense=(), lowering="patches")
    model = models.create(config, 3)
    variables = model.init(jax.random.key(1), SHAPE)
    rng = np.random.default_rng(0)
    params = jax.tree.map(lambda leaf: leaf + 0.3 * rng.standard_normal(leaf.shape).astype(np.float32), variables)
    return model, params, rng.standard_normal((40, *SHAPE)).astype(np.float32)


@pytest.fixture(scope="module")
def found(small):
    model, variables, images = small
    batches = (images[a:b] for a, b in ((0, 16), (16, 23), (23, 24), (24, 40)))  # read once
    return top_patches(model, variables, batches, TO_PIXELS, count=5, rules=RULES)


class InNumPy:
    """The small network in NumPy, forward and back by the three rules for rectifiers."""

    def __init__(self, variables, image):
        params = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), variables["params"])
        self.kernels = [params["conv1"]["kernel"], params["conv2"]["kernel"]]
        self.conv1 = self.convolve(image.astype(np.float64), self.kernels[0]) + params["conv1"]["bias"]
        self.open1 = np.maximum(self.conv1, 0)
        windows = self.open1[:10, :12].reshape(5, 2, 6, 2, 2).transpose(0, 2, 4, 1, 3).reshape(5, 6, 2, 4)
        self.pooled, self.switches = windows.max(-1), windows.argmax(-1)
        self.conv2 = self.convolve(self.pooled, self.kernels[1]) + params["conv2"]["bias"]
        self.open2 = np.maximum(self.conv2, 0)

    @staticmethod
    def convolve(x, kernel):
        padded = np.pad(x, ((1, 1), (1, 1), (0, 0)))
        windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(0, 1))
        return np.einsum("hwcij,ijco->hwo", windows, kernel)

    @classmethod
    def transpose(cls, y, kernel):
        return cls.convolve(y, kernel[::-1, ::-1].transpose(0, 1, 3, 2))

    def back(self, layer, place, channel, rule):
        """Rectify the signal, filter transposed, unpool with the switches (Zeiler and Fergus, 2014, section 2.1).

        Springenberg et al., 2015, figure 1: what rectified the output stops the gradient, what rectifies the signal
        stops the deconvolutional network's, and either stops the signal of guided backpropagation.
        """
        if layer == 2:
            signal = np.zeros_like(self.conv2)
            signal[(*place, channel)] = 1
            pooled = self.transpose(signal, self.kernels[1])
            signal = np.zeros_like(self.conv1)
            for (row, column, each), switch in np.ndenumerate(self.switches):
                signal[2 * row + switch // 2, 2 * column + switch % 2, each] = pooled[row, column, each]
            if rule in ("deconvnet", "guided"):
                signal = np.maximum(signal, 0)
            if rule in ("gradient", "guided"):
                signal = signal * (self.conv1 > 0)
        else:
            signal = np.zeros_like(self.conv1)
            signal[(*place, channel)] = 1
        return self.transpose(signal, self.kernels[0])


def box_by_hand(layer, place):
    """(top, left, height, width): of a unit of the second layer 3x3 windows of 2x2 windows of 3x3 windows."""
    edges = []
    for axis, (position, pixels) in enumerate(zip(place, SHAPE, strict=False)):
        first, last = position - 1, position + 1
        if layer == 2:
            pooled = SHAPE[axis] // 2
            first, last = 2 * max(first, 0) - 1, 2 * min(last, pooled - 1) + 1 + 1
        edges.append((max(first, 0), min(last, pixels - 1)))
    (top, bottom), (left, right) = edges
    return top, left, bottom - top + 1, right - left + 1


def test_search_patches_and_reconstructions_beside_numpy(small, found):
    model, variables, images = small
    assert feature_maps(model, SHAPE) == ("conv1/activation", "conv2/activation")
    networks = [InNumPy(variables, image) for image in images]
    assert [each.units.layer for each in found] == ["conv1/activation", "conv2/activation"]
    at_border = 0
    for layer, result in enumerate(found, start=1):
        units = result.units
        maps = np.stack([network.open1 if layer == 1 else network.open2 for network in networks])
        strongest = maps.max((1, 2))
        for position, channel in enumerate(units.channels):
            order = np.argsort(-strongest[:, channel])[:5]
            np.testing.assert_array_equal(units.images[position], order)
            np.testing.assert_allclose(units.values[position], strongest[order, channel], rtol=1e-5)
            for rank, number in enumerate(order):
                place, box = units.places[position, rank], units.boxes[position, rank]
                assert tuple(place) == np.unravel_index(maps[number, ..., channel].argmax(), maps.shape[1:3])
                assert tuple(box) == box_by_hand(layer, place)
                inside = np.s_[box[0] : box[0] + box[2], box[1] : box[1] + box[3]]
                at_border += (box[2:] != result.patches.shape[2:4]).any()
                own = np.s_[position, rank, : box[2], : box[3]]
                np.testing.assert_array_equal(result.patches[own], images[number][inside])
                pixels = np.rint(40 * images[number][inside] + 100).clip(0, 255)
                np.testing.assert_array_equal(result.pixels[own], pixels)
                assert result.inside[own].all()
                assert result.inside[position, rank].sum() == box[2] * box[3]
                for rule in RULES:
                    expected = networks[number].back(layer, place, channel, rule)
                    signals = result.reconstructions[rule][own]
                    np.testing.assert_allclose(signals, expected[inside], rtol=1e-4, atol=1e-5)
                    outside = expected.copy()
                    outside[inside] = 0
                    assert not outside.any()
                    assert expected.any()
                # The patch alone, with zeros in place of all other pixels, in NumPy.
                alone = np.zeros_like(images[number])
                alone[inside] = result.patches[own]
                again = InNumPy(variables, alone)
                value = (again.open1 if layer == 1 else again.open2)[(*place, channel)]
                np.testing.assert_allclose(units.values[position, rank], value, rtol=1e-5)
        outside = ~result.inside
        assert tuple(result.reconstructions) == RULES
        for each in (result.patches, result.pixels, *result.reconstructions.values()):
            assert not each[outside].any()
        np.testing.assert_allclose(result.recomputed, units.values, rtol=1e-5)
        alike = [np.array_equal(result.reconstructions[rule], result.reconstructions["guided"]) for rule in RULES]
        assert alike == ([True] * 3 if layer == 1 else [False, True, False])
    assert at_border >= 3


def test_rules_are_chosen_by_the_rectifiers(small):
    model, variables, images = small
    (standard,) = top_patches(model, variables, [images[:4]], TO_PIXELS, {"conv2": [0]}, count=1)
    assert tuple(standard.reconstructions) == ("deconvnet", "guided")
    smooth = models.create(Cnn(features=(2, 3), padding="SAME", dense=(), activation="gelu"), 3)
    without = smooth.init(jax.random.key(1), SHAPE)
    (gradient,) = top_patches(smooth, without, [images[:4]], TO_PIXELS, {"conv2": [0]}, count=1)
    assert tuple(gradient.reconstructions) == ("gradient",)
    with pytest.raises(ValueError, match=r"guided changes the backward pass of rectifiers, .* none; use gradient"):
        top_patches(smooth, without, [images[:4]], TO_PIXELS, rules=("gradient", "guided"))
    for rules, match in ((("guide",), "'guide': expected some of gradient, deconvnet, guided"), ((), "no rules")):
        with pytest.raises(ValueError, match=match):
            top_patches(model, variables, [images[:4]], TO_PIXELS, rules=rules)


def test_batches_do_not_matter(small, found):
    model, variables, images = small
    whole = top_patches(model, variables, [images], TO_PIXELS, count=5)
    for one, other in zip(found, whole, strict=True):
        for field in ("images", "places", "boxes"):
            np.testing.assert_array_equal(getattr(one.units, field), getattr(other.units, field))
        np.testing.assert_array_equal(one.patches, other.patches)


def test_fewer_images_than_asked_for_and_equal_ones(small):
    """The first of equal images comes first; sums of such numbers are exact."""
    model, variables, images = small
    variables = jax.tree.map(lambda leaf: np.rint(4 * leaf) / 4, variables)
    twice = np.rint(np.concatenate([images[:2], images[:2]]))
    (result,) = top_patches(model, variables, [twice], TO_PIXELS, {"conv2": [2, 0]}, count=6)
    assert list(result.units.channels) == [2, 0]
    for row in result.units.images:
        assert list(row) in ([0, 2, 1, 3, -1, -1], [1, 3, 0, 2, -1, -1])
    assert (result.units.values[:, 4:] == -np.inf).all()
    assert np.isnan(result.recomputed[:, 4:]).all()
    assert not result.inside[:, 4:].any()
    assert result.inside[:, :4].any((2, 3)).all()
    assert result.largest_error < 1e-5


def test_silent_channels_and_layers_without_maps(small):
    model, variables, images = small
    params = jax.tree.map(jnp.copy, variables["params"])
    params["conv1"]["bias"] = jnp.array([-100.0, 1.0])
    layers = {"conv1/activation": None, "head/logits": [1]}
    first, logits = top_patches(model, {"params": params}, [images[:8]], TO_PIXELS, layers, count=3)
    assert list(first.units.silent) == [True, False]
    assert logits.patches.shape[2:] == SHAPE  # the whole image, of which the last column of conv1 is not pooled
    expected = np.asarray(applied(model, {"params": params}, jnp.asarray(images[:8]), False)[0])[:, 1]
    np.testing.assert_allclose(logits.units.values[0], np.sort(expected)[::-1][:3], rtol=1e-5)
    assert (logits.units.places == 0).all()


EVEN = {"features": (3, 3), "kernel_size": (4, (2, 3)), "pool_window": 2, "pool_strides": (2, 1), "dense": ()}
# Narrow networks of every name and padding dialect, images (height, width), and the layers that are looked at.
NETWORKS = [
    (Cnn(**EVEN, padding="SAME", pool_padding="SAME", strides=(2, 1)), (21, 24), ("conv1", "conv2", "pool2")),
    (Cnn(**EVEN, padding="SAME_LOWER", dilation=(2, 1)), (21, 24), ("conv1", "conv2")),
    (Cnn(**EVEN, padding=("TORCH", ((0, 2), (3, 0)))), (21, 24), ("conv1", "conv2")),
    (Cnn(**EVEN, padding="REFLECT", strides=(1, 2)), (22, 25), ("conv1", "conv2")),
    (Cnn(**EVEN, padding="REPLICATE", compute="bfloat16"), (21, 24), ("conv1", "conv2")),
    (Cnn(**EVEN, padding="CIRCULAR"), (21, 24), ("conv1", "conv2", "pool2")),
    (
        LeNet5(subsampling="trainable", features=(2, 3, 4), dense=(5,)),
        (25, 28),
        ("C1", "S2_scale", "C3", "head/dense1"),
    ),
    (AlexNet(features=(4, 4, 6, 6, 4), dense=(8,), groups=2), (64, 71), ("lrn1", "conv2", "pool2", "conv5")),
    (
        TorchvisionAlexNet(features=(4, 4, 6, 6, 4), dense=(8,), head_size=4, activation="leaky_relu"),
        (127, 95),
        ("conv3", "head_pool"),
    ),
    (
        GoogLeNet(width=0.1, modules=(1, 0, 0), padding="VALID", stem_strides=1, stem_pools=(True, False)),
        (35, 38),
        ("conv2", "inception3a/branch3", "inception3a/concat"),
    ),
    (
        TorchvisionGoogLeNet(width=0.1, modules=(1, 1, 0), activation="leaky_relu"),
        (53, 46),
        ("pool2", "inception3a/concat", "pool3"),
    ),
    (SqueezeNet10(width=0.05, modules=2, pool_after=(1,)), (41, 38), ("conv1", "fire2/concat", "fire3/concat")),
    (SqueezeNet11(width=0.05, modules=2, pool_after=(1,)), (33, 36), ("fire2/concat", "head/logits")),
    (ResNet(width=4), (45, 32), ("stem_pool", "stage1_block1/add", "stage2_block1/add")),
    (
        CifarResNet(depth=8, width=4, activation_order="pre", shortcut="projection", padding="VALID"),
        (31, 36),
        ("stage1_block1/add", "stage2_block1/shortcut", "last/norm"),
    ),
    *((config, (SIDE, SIDE + 3), ("head/logits",)) for config in TINY),
]
CASES = network_cases(NETWORKS)


def test_no_network_is_left_out():
    assert {config.name for config, *_ in NETWORKS} == set(models.NETWORKS)


def units_of(model, image, layer):
    """The units at the corners, the edges and the middle of a layer, and their patches."""
    rows = model.layers(image.shape)
    fields = UnitFields(rows, image.shape)
    output = next(row.output_shape for row in rows if row.name == layer)
    size = output[:2] if len(output) == 3 else (1, 1)
    some = [sorted({0, 1 % count, count // 2, count - 1}) for count in size]
    places = np.array([(row, column) for row in some[0] for column in some[1]])
    channels = np.unique([0, output[-1] - 1])
    boxes = np.zeros((len(channels), len(places), 4), int)
    for number, channel in enumerate(channels):
        rows, columns = fields.boxes(layer, channel)
        boxes[number, :, ::2], boxes[number, :, 1::2] = rows[places[:, 0]], columns[places[:, 1]]
    patches = np.zeros((*boxes.shape[:2], *boxes[..., 2:].max((0, 1)), image.shape[-1]), np.float32)
    for index in np.ndindex(boxes.shape[:2]):
        patches[index][: boxes[index][2], : boxes[index][3]] = cut(image, boxes[index])
    shape = boxes.shape[:2]
    units = TopUnits(
        layer, channels, np.zeros(shape), np.zeros(shape, int), np.tile(places, (len(channels), 1, 1)), boxes
    )
    return units, patches


@pytest.mark.parametrize(("config", "size", "layers"), CASES)
def test_patches_alone_give_the_responses(config, size, layers):
    """To the whole image, which is what is around a patch first, and to the patch in noise."""
    model, rng = models.create(config, 3), np.random.default_rng(0)
    image = rng.standard_normal((*size, 2)).astype(np.float32)
    shapes = model.variable_shapes(image.shape)

    def drawn(path, leaf):
        scale = np.sqrt(2 / max(1, np.prod(leaf.shape[:-1])))
        positive = path[-1].key in ("variance", "scale", "coefficient")
        return (1 + 0.3 * rng.random(leaf.shape) if positive else scale * rng.standard_normal(leaf.shape)).astype("f4")

    variables = jax.tree_util.tree_map_with_path(drawn, shapes)
    noise = (3 * rng.standard_normal(image.shape)).astype(np.float32)
    close = {"rtol": 0.02, "atol": 0.02} if config.compute == "bfloat16" else {"rtol": 1e-4, "atol": 1e-5}
    units, patches = zip(*(units_of(model, image, layer) for layer in layers), strict=True)
    in_image = recompute(model, variables, units, patches, image)
    in_noise = recompute(model, variables, units, patches, noise)
    for layer, expected, alone in zip(layers, in_image, in_noise, strict=True):
        assert len(np.unique(expected)) > 1, layer
        np.testing.assert_allclose(alone, expected, **close, err_msg=layer)


def test_a_row_less_and_the_response_differs(small):
    """Through averages and tanh every pixel of a field counts."""
    config = Cnn(**EVEN, padding="SAME", strides=(1, 2), pooling="avg", activation="tanh")
    model = models.create(config, 3)
    image = np.random.default_rng(0).standard_normal((21, 24, 1)).astype(np.float32)
    variables = model.init(jax.random.key(0), image.shape)
    noise = np.random.default_rng(1).standard_normal(image.shape).astype(np.float32)
    units, patches = units_of(model, image, "conv2")
    (expected,) = recompute(model, variables, [units], [patches], noise)
    for axis in range(2):
        boxes = units.boxes.copy()
        boxes[..., 2 + axis] -= 1
        (less,) = recompute(model, variables, [dataclasses.replace(units, boxes=boxes)], [patches], noise)
        assert (np.abs(less - expected) > 1e-5).all()


class Rolled(nn.Module):
    """A network with a layer that its table does not tell of."""

    @nn.compact
    def __call__(self, images, train):
        maps = nn.Conv(2, (3, 3), name="first")(jnp.roll(images, 4, axis=1))
        return nn.Dense(3, name="logits")(maps.mean((1, 2))), ()


def test_what_cannot_be_done_is_said(small, monkeypatch):
    model, variables, images = small

    def refused(match, batches=(images,), layers=None, network=model, values=variables, count=2):
        with pytest.raises(ValueError, match=match):
            top_patches(network, values, batches, TO_PIXELS, layers, count)

    refused("no images: expected at least one", batches=())
    refused("count=0: expected at least 1", count=0)
    refused("no layer 'conv9'; did you mean 'conv", layers={"conv9": None})
    refused(re.escape("layer 'conv2', channel 3: expected 0 to 2"), layers={"conv2": [0, 3]})
    refused("layer 'conv2', channel -1: expected 0 to 2", layers={"conv2": [-1]})
    refused("layer 'conv2', no channels: expected 0 to 2", layers={"conv2": []})
    refused("layers: expected at least one", layers={})
    refused(r"images with shape \(5, 5, 1\) after images with shape \(10, 13, 1\)", batches=(images, images[:, :5, :5]))
    refused("images have pixels that are not finite", batches=(images[:2], np.full((1, *SHAPE), np.nan)))
    refused("images of 8x13x1: the network of such images has", batches=(images[:, :8],))
    broken = jax.tree.map(lambda leaf: leaf * np.nan, variables)
    refused("layer 'conv./activation' gives responses that are not finite", values=broken)
    rolled = models.Model(Rolled())
    refused(
        "layer 'first': responses to patches differ .* units depend on pixels outside the receptive fields",
        network=rolled,
        values=rolled.init(jax.random.key(0), SHAPE),
    )
    monkeypatch.setattr(patches_module, "LARGEST_BYTES", 3000)
    refused("the patches take 0.0 GiB, above the bound of 0 GiB, most for 3 channels of layer 'conv2/activation'")
