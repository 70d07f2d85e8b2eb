"""The backward pass of whole networks is the exact adjoint of their linearised forward pass.

Networks compute in float32; here their code runs in float64, so that no error hides behind the roundings of sums.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from double_precision import double_precision, in_double_precision
from support.network_cases import network_cases
from support.quick_programs import QUICK
from support.tiny_networks import SIDE, TINY

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
from cnn_jax.layer_rows import ACTIVATION

CLASSES = 3
CNN = Cnn(features=(4, 6), pooling="max", dense=(5,))
LENET5 = LeNet5(features=(6, 16, 4), dense=(4,), subsampling="trainable")
ALEXNET = {"features": (4, 4, 6, 6, 4), "dense": (8, 6), "groups": 2}
GOOGLENET = {"width": 0.1, "modules": (1, 1, 0), "aux_heads": False}
CIFAR = CifarResNet(depth=8, width=4)
NETWORKS = [
    (CNN.model_copy(update={"pooling": ("max", "min"), "dilation": (1, 2), "groups": (1, 2), "padding": "SAME"}), 13),
    (CNN.model_copy(update={"norm": "batch", "strides": ((1, 2), 1), "padding": ("REFLECT", "CIRCULAR")}), 17),
    (
        Cnn(features=(4, 6), norm="batch", order="norm-activation-conv", pooling="max", pool_window=3, pool_strides=2),
        17,
    ),
    (LENET5.model_copy(update={"connection": "table", "output": "rbf", "prototypes": "learned"}), 28),
    (LENET5.model_copy(update={"subsampling": "plain", "activation": "relu"}), 32),
    (AlexNet(**ALEXNET), 64),
    (TorchvisionAlexNet(**ALEXNET, head_size=2, pooling="avg"), 63),
    (GoogLeNet(**GOOGLENET), 32),
    (GoogLeNet(**GOOGLENET | {"modules": (1, 0, 0)}, padding="VALID", pooling="avg"), 64),
    (TorchvisionGoogLeNet(**GOOGLENET), 33),
    (SqueezeNet10(width=0.05, modules=2, pool_after=(1,)), 25),
    (SqueezeNet11(width=0.05, modules=3, padding="VALID", pool_after=(1, 3)), 49),
    (ResNet(width=2, stage_strides=(1, 2, 1, 1)), 32),
    (CIFAR, 9),
    (CIFAR.model_copy(update={"shortcut": "projection"}), 9),
    (CIFAR.model_copy(update={"activation_order": "pre", "padding": "VALID", "norm": "group", "norm_groups": 2}), 31),
    *((config, SIDE) for config in TINY),
]
CASES = network_cases(NETWORKS)
# Without rectifiers, largest values and products: what is left is linear, but for biases.
LINEAR = [
    (CNN.model_copy(update={"activation": "identity", "pooling": "avg", "padding": "REPLICATE", "norm": "batch"}), 13),
    (LENET5.model_copy(update={"activation": "identity", "pool_activation": "identity"}), 28),
    (TorchvisionAlexNet(**ALEXNET, activation="identity", pooling="avg"), 64),
    (TorchvisionGoogLeNet(**GOOGLENET, activation="identity", pooling="avg"), 33),
    (CIFAR.model_copy(update={"activation": "identity"}), 9),
    (CIFAR.model_copy(update={"activation": "identity", "shortcut": "projection"}), 9),
]
LINEAR_CASES = network_cases(LINEAR)


@pytest.fixture(autouse=True)
def in_float64():
    with double_precision():
        yield


def started(config, side):
    """The network in float64, its variables away from where they begin, and random numbers.

    The variables are NumPy's arrays: JAX compiles a program for every shape that it is given by itself.
    """
    model = models.create(config, CLASSES)
    shapes = model.variable_shapes((side, side, 3))
    rng = np.random.default_rng(0)

    def draw(path, leaf):
        values = rng.standard_normal(leaf.shape)
        if path[-1].key in ("variance", "scale", "coefficient"):
            return 1 + 0.3 * np.abs(values)
        return values * (0.3 if len(leaf.shape) < 2 else np.sqrt(2 / np.prod(leaf.shape[:-1])))

    variables = jax.tree_util.tree_map_with_path(draw, shapes)
    return in_double_precision(model), variables, rng


def compiled(function, *arguments):
    """The results of a function, compiled quickly; that nothing of it is rounded to float32 is checked."""
    lowered = jax.jit(function).lower(*arguments)
    assert "f32" not in lowered.as_text()
    return jax.tree.map(np.asarray, lowered.compile(compiler_options=QUICK)(*arguments))


def close(ours, expected, tolerance):
    """Compares arrays with a tolerance that is a share of their largest value, which is not zero."""
    largest = np.abs(expected).max()
    assert largest > 0
    np.testing.assert_allclose(ours, expected, rtol=0, atol=tolerance * largest)


def test_no_network_and_no_kind_of_layer_is_left_out():
    assert {config.name for config, _ in NETWORKS} == set(models.NETWORKS)
    rows = [row for config, side in NETWORKS for row in models.create(config, CLASSES).layers((side, side, 3))]
    kinds = {
        "conv",
        "dense",
        "rbf",
        "scale",
        "flatten",
        "lrn",
        "batch_norm",
        "group_norm",
        "add",
        "concat",
        "pad",
        "crop",
        "layer_norm",
        "multiply",
    }
    pools = {"max_pool", "avg_pool", "min_pool", "adaptive_avg_pool", "global_avg_pool"}
    assert {row.kind for row in rows} - {"dropout"} == kinds | pools
    ceiled = [row for row in rows if row.kind == "max_pool" and row.padding == "VALID" and row.pads != ((0, 0), (0, 0))]
    assert ceiled


@pytest.mark.parametrize(("config", "side"), CASES)
def test_the_backward_pass_is_the_adjoint(config, side):
    """<J u, g> = <u, J' g>, with J u by finite differences of the forward pass alone."""
    model, variables, rng = started(config, side)
    image, direction = rng.standard_normal((2, 2, side, side, 3))
    cotangent = rng.standard_normal((2, CLASSES))
    # Rectifiers and maxima stay as they are over so short a step; its square and the roundings are 1e-9 of the values.
    step = 1e-6

    def both(variables, image, direction, cotangent):
        both_ends = jnp.concatenate([image + step * direction, image - step * direction])
        ends = jnp.split(model.apply(variables, both_ends, train=False)[0], 2)
        with ops.relu_backward("gradient"):
            _, back = jax.vjp(lambda x: model.apply(variables, x, train=False)[0], image)
        return (ends[0] - ends[1]) / (2 * step), back(cotangent)[0]

    forward, backward = compiled(both, variables, image, direction, cotangent)
    along, across = np.sum(forward * cotangent, axis=1), np.sum(backward * direction, axis=(1, 2, 3))
    close(across, along, 1e-6)


@pytest.mark.parametrize(("config", "side"), LINEAR_CASES)
def test_without_rectifiers_the_backward_pass_is_the_transposed_matrix(config, side):
    """A u = f(x + u) - f(x) for any u, and the backward pass anywhere is A'."""
    model, variables, rng = started(config, side)
    image, direction, elsewhere = rng.standard_normal((3, 1, side, side, 3))
    cotangent = rng.standard_normal((1, CLASSES))

    def both(variables, image, direction, elsewhere, cotangent):
        ends = model.apply(variables, jnp.concatenate([image + direction, image]), train=False)[0]
        _, back = jax.vjp(lambda x: model.apply(variables, x, train=False)[0], elsewhere)
        return ends[:1] - ends[1:], back(cotangent)[0]

    forward, backward = compiled(both, variables, image, direction, elsewhere, cotangent)
    close(np.vdot(backward, direction), np.vdot(forward, cotangent), 1e-11)


def folded(params, batch_stats, eps):
    """The parameters of convolutions that do their batch norm's work, for the network without norms."""
    if "norm" in params:
        norm, statistics = params["norm"], batch_stats["norm"]
        factor = norm["scale"] / np.sqrt(statistics["variance"] + eps)
        return {"kernel": params["kernel"] * factor, "bias": norm["bias"] - statistics["mean"] * factor}
    return {
        name: folded(part, batch_stats.get(name, {}), eps) if isinstance(part, dict) else part
        for name, part in params.items()
    }


@pytest.mark.parametrize(
    ("config", "side"),
    network_cases(
        [
            (CNN.model_copy(update={"norm": "batch"}), 14),
            (TorchvisionGoogLeNet(**GOOGLENET | {"modules": (1, 0, 0)}), 33),
            (CIFAR.model_copy(update={"shortcut": "projection"}), 9),
        ]
    ),
)
def test_batch_norm_folded_into_the_convolutions_has_the_same_backward_pass(config, side):
    model, variables, rng = started(config, side)
    plain, _, _ = started(config.model_copy(update={"norm": "none"}), side)
    images, cotangent = rng.standard_normal((2, side, side, 3)), rng.standard_normal((2, CLASSES))
    without = {"params": folded(variables["params"], variables["batch_stats"], config.norm_eps)}

    def signals(variables, without, images):
        found = []
        for each, values in ((model, variables), (plain, without)):
            for backward in ops.activation.RELU_BACKWARDS:
                with ops.relu_backward(backward):
                    y, back = jax.vjp(lambda x, m=each, v=values: m.apply(v, x, train=False)[0], images)
                found.append((y, back(cotangent)[0]))
        return found[:3], found[3:]

    for ours, expected in zip(*compiled(signals, variables, without, images), strict=True):
        close(ours[0], expected[0], 1e-11)
        close(ours[1], expected[1], 1e-11)


@pytest.mark.parametrize(
    ("config", "side"),
    network_cases(
        [
            (CNN, 14),
            (GoogLeNet(**GOOGLENET | {"modules": (1, 0, 0)}), 32),
            (CIFAR.model_copy(update={"shortcut": "projection"}), 9),
            (CIFAR.model_copy(update={"activation_order": "pre"}), 9),
        ]
    ),
)
def test_every_rectifier_passes_on_what_its_rule_says(config, side):
    """Read on both sides of each one, as the gradients with respect to perturbations of zeros."""
    model, variables, rng = started(config, side)
    after = model.activations((side, side, 3))
    before = [name.removesuffix(ACTIVATION) for name in after]
    images = rng.standard_normal((2, side, side, 3))
    shapes = {row.name: row.output_shape for row in model.layers((side, side, 3))}
    zeros = {name: np.zeros((2, *shapes[name.removesuffix(ACTIVATION)])) for name in (*before, *after)}

    def signals(variables, zeros, images):
        found = {}
        for backward in ops.activation.RELU_BACKWARDS:

            def score(changes):
                logits, _, _, outputs = model.apply_with_layers(variables, images, before, changes)
                return logits[:, 1].sum(), outputs

            with ops.relu_backward(backward) as rectifiers:
                found[backward], outputs = jax.grad(score, has_aux=True)(zeros)
            assert rectifiers.count == len(after)
        return found, outputs

    found, outputs = compiled(signals, variables, zeros, images)
    shares = [np.mean(outputs[name] > 0) for name in before]
    assert min(shares) < 0.9
    assert max(shares) > 0.1
    for behind, ahead in zip(before, after, strict=True):
        is_open = np.asarray(outputs[behind] > 0)
        arrived = {backward: np.asarray(signals[ahead]) for backward, signals in found.items()}
        expected = {
            "gradient": arrived["gradient"] * is_open,
            "deconvnet": np.maximum(arrived["deconvnet"], 0),
            "guided": np.maximum(arrived["guided"], 0) * is_open,
        }
        for backward, values in expected.items():
            np.testing.assert_array_equal(found[backward][behind], values, err_msg=f"{backward} at {behind}")
    assert any((found["deconvnet"][name] < 0).any() for name in after)  # there was something to hold back
