"""Outputs of named layers, read and perturbed, for every network."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from support.gradients import applied
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

CLASSES = 3
# Narrow networks of every name, with images on which each layer has a few outputs.
NETWORKS = [
    (Cnn(features=(4, 8, 8), dense=(16,), dropout=0.2), 24),
    (Cnn(features=(3, 4), norm="batch", order="norm-activation-conv", padding="SAME", compute="bfloat16"), 9),
    (LeNet5(features=(2, 3, 4), dense=(5,)), 28),
    (LeNet5(subsampling="trainable", connection="table", output="rbf", prototypes="learned", dense=(4,)), 28),
    (AlexNet(features=(4, 4, 6, 6, 4), dense=(8, 6), groups=2), 64),
    (TorchvisionAlexNet(features=(4, 4, 6, 6, 4), dense=(8, 6), head_size=2), 63),
    (GoogLeNet(width=0.1, modules=(1, 1, 0), aux_dense=6, padding="VALID", aux_pool="adaptive"), 175),
    (TorchvisionGoogLeNet(width=0.1, modules=(1, 1, 0), aux_dense=6, aux_heads=True), 64),
    (SqueezeNet10(width=0.05, modules=2, pool_after=(1,)), 25),
    (SqueezeNet11(width=0.05, modules=3, padding="VALID", pool_after=(1, 3)), 49),
    (ResNet(width=4, stage_strides=(1, 2, 1, 1)), 32),
    (CifarResNet(depth=8, width=4), 9),
    (CifarResNet(depth=8, width=4, activation_order="pre", shortcut="projection", padding="VALID"), 31),
    *((config, SIDE) for config in TINY),
]
CASES = [pytest.param(config, side, id=f"{config.name}-{number}") for number, (config, side) in enumerate(NETWORKS)]

# Their kinds of layers are those of other networks.
ALIKE = ("zfnet", "vgg", "inception_v3", "mobilenet_v3_large", "efficientnet")


def test_no_network_is_left_out():
    assert {config.name for config, _ in NETWORKS} == set(models.NETWORKS)


def started(config, side):
    """The network, its variables away from where they begin, and two images.

    They are drawn by NumPy: JAX compiles a program for every shape that it computes on by itself.
    """
    model = models.create(config, CLASSES)
    variables = jax.jit(model.init, static_argnums=1, compiler_options=QUICK)(jax.random.key(1), (side, side, 3))
    variables, rng = jax.tree.map(np.asarray, variables), np.random.default_rng(0)
    params = jax.tree.map(lambda leaf: leaf + 0.1 * rng.standard_normal(leaf.shape).astype(np.float32), variables)
    images = rng.standard_normal((2, side, side, 3)).astype(np.float32)
    return model, *jax.device_put(({**variables, "params": params["params"]}, images))


@pytest.mark.parametrize(("config", "side"), CASES)
def test_outputs_have_the_shapes_of_the_table(config, side):
    model = models.create(config, CLASSES)
    rows = model.layers((side, side, 3))
    variables = model.variable_shapes((side, side, 3))
    images = jax.ShapeDtypeStruct((2, side, side, 3), jnp.float32)
    *_, layers = jax.eval_shape(
        lambda variables, images: model.apply_with_layers(
            variables, images, capture=[row.name for row in rows], train=True, key=jax.random.key(0)
        ),
        variables,
        images,
    )
    assert {name: output.shape for name, output in layers.items()} == {row.name: (2, *row.output_shape) for row in rows}


@pytest.mark.parametrize(("config", "side"), network_cases(case for case in NETWORKS if case[0].name not in ALIKE))
def test_looking_changes_nothing_and_perturbations_have_the_biases_gradients(config, side):
    """A bias is added at every place of its layer's output: its gradient is the sum of the output's gradient."""
    model, variables, images = started(config, side)
    rows, key = model.layers((side, side, 3)), jax.random.key(3)
    directions = jax.random.normal(jax.random.key(4), (8, CLASSES))

    def loss(logits, aux_logits):
        return sum(
            jnp.sum(each * direction) for each, direction in zip((logits, *aux_logits), directions, strict=False)
        )

    def plain(params):
        logits, aux_logits, _ = model.apply({**variables, "params": params}, images, train=True, key=key)
        return loss(logits, aux_logits), logits

    def looking(params, perturb):
        logits, aux_logits, _, layers = model.apply_with_layers(
            {**variables, "params": params}, images, capture="all", perturb=perturb, train=True, key=key
        )
        return loss(logits, aux_logits), (logits, layers)

    zeros = {row.name: np.zeros((2, *row.output_shape), np.float32) for row in rows}
    compiled = {"compiler_options": QUICK}
    (_, logits), gradient = jax.jit(jax.value_and_grad(plain, has_aux=True), **compiled)(variables["params"])
    (_, (same, layers)), (to_params, to_layers) = jax.jit(
        jax.value_and_grad(looking, argnums=(0, 1), has_aux=True), **compiled
    )(variables["params"], zeros)
    assert jnp.any(logits)
    gradient, to_params, to_layers = jax.tree.map(np.asarray, (gradient, to_params, to_layers))
    close = {"rtol": 0.1, "atol": 0.1} if config.compute == "bfloat16" else {"rtol": 1e-3, "atol": 1e-4}
    np.testing.assert_allclose(same, logits, **close)
    last = rows[-1].name
    np.testing.assert_array_equal(layers[last], same)
    np.testing.assert_allclose(to_layers[last], directions[0] * np.ones((2, 1)), rtol=1e-6)
    scale = max(float(np.abs(leaf).max()) for leaf in jax.tree.leaves(gradient))
    for ours, expected in zip(jax.tree.leaves(to_params), jax.tree.leaves(gradient), strict=True):
        np.testing.assert_allclose(ours, expected, rtol=close["rtol"], atol=close["atol"] * scale)
    checked = 0
    for path, leaf in jax.tree_util.tree_leaves_with_path(to_params):
        if path[-1].key == "bias":
            name = "/".join(key.key for key in path[:-1])
            expected = to_layers[name].sum(tuple(range(to_layers[name].ndim - 1)))
            np.testing.assert_allclose(leaf, expected, rtol=close["rtol"], atol=close["atol"] * scale)
            checked += bool(np.any(expected))
    assert checked >= 3


@pytest.fixture(scope="module")
def small():
    """A smooth network of two stages, the first of which is fused when nobody looks."""
    return started(Cnn(features=(3, 4), kernel_size=3, pooling=("max", "avg"), dense=(5,)), 12)


def looking(model, variables, images, capture=(), perturb=None):
    """`Model.apply_with_layers` as one program."""
    return jax.jit(lambda v, x, p: model.apply_with_layers(v, x, capture, p))(variables, images, perturb)


def test_a_layer_by_hand(small):
    """Computes the lecture's kind of network from the output of the first convolution on."""
    model, variables, images = small
    params = variables["params"]
    logits, aux_logits, batch_stats, layers = looking(*small, capture=("conv1", "pool1"))
    assert (aux_logits, batch_stats) == ((), {})
    assert set(layers) == {"conv1", "pool1"}
    windows = np.lib.stride_tricks.sliding_window_view(np.asarray(images), (3, 3), axis=(1, 2))
    conv1 = np.einsum("bhwcij,ijco->bhwo", windows, params["conv1"]["kernel"]) + params["conv1"]["bias"]
    np.testing.assert_allclose(layers["conv1"], conv1, rtol=1e-4, atol=1e-5)
    assert (conv1 < 0).any()  # it is the output before the activation
    pooled = np.maximum(conv1, 0).reshape(2, 5, 2, 5, 2, 3).max((2, 4))
    np.testing.assert_allclose(layers["pool1"], pooled, rtol=1e-4, atol=1e-5)

    @jax.jit
    def rest(conv1):
        x = ops.max_pool(jax.nn.relu(conv1), 2)
        x = jax.nn.relu(ops.conv2d(x, params["conv2"]["kernel"], padding="VALID") + params["conv2"]["bias"])
        x = ops.avg_pool(x, 2).reshape(2, -1)
        head = params["head"]
        x = jax.nn.relu(x @ head["dense1"]["kernel"] + head["dense1"]["bias"])
        return x @ head["logits"]["kernel"] + head["logits"]["bias"]

    np.testing.assert_allclose(logits, rest(layers["conv1"]), rtol=1e-4, atol=1e-5)

    def score(change):
        return model.apply_with_layers(variables, images, perturb={"conv1": change})[0][:, 1].sum()

    gradient = jax.jit(jax.grad(score))(jnp.zeros_like(layers["conv1"]))
    expected = jax.grad(lambda conv1: rest(conv1)[:, 1].sum())(layers["conv1"])
    assert jnp.any(expected)
    np.testing.assert_allclose(gradient, expected, rtol=1e-4, atol=1e-6)
    step = 1e-2 * jax.random.normal(jax.random.key(0), gradient.shape)
    np.testing.assert_allclose(looking(*small, perturb={"conv1": step})[0], rest(conv1 + step), rtol=1e-4, atol=1e-5)


def test_activations_by_hand(small):
    """They are named for the layer before them, and what is fused with them is computed apart."""
    model, variables, images = small
    assert model.activations((12, 12, 3)) == ("conv1/activation", "conv2/activation", "head/dense1/activation")
    logits, _, _, layers = looking(*small, "all")
    assert not any(name.endswith("/activation") for name in layers)
    for name in ("conv1", "conv2", "head/dense1"):
        after = f"{name}/activation"
        same, _, _, found = looking(*small, (after,))
        np.testing.assert_allclose(same, logits, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(found[after], np.maximum(layers[name], 0), rtol=1e-4, atol=1e-5)
        assert set(found) == {after}
    pooled = looking(*small, ("pool1",), {"conv1/activation": jnp.full(3, 2.0)})[3]["pool1"]
    np.testing.assert_allclose(pooled, layers["pool1"] + 2, rtol=1e-4, atol=1e-5)

    def score(change):
        return model.apply_with_layers(variables, images, (), {"conv1/activation": change})[0][:, 1].sum()

    gradient = jax.jit(jax.grad(score))(jnp.zeros_like(layers["conv1"]))
    # One pixel of every window hands its signal on, open rectifier or not.
    assert ((gradient != 0).reshape(2, 5, 2, 5, 2, 3).sum((2, 4)) <= 1).all()
    zeros = jnp.zeros_like(layers["pool1"])
    to_pool = jax.grad(lambda z: looking(*small, (), {"pool1": z})[0][:, 1].sum())(zeros)
    open_windows = layers["pool1"] > 0
    assert jnp.any(to_pool)
    sums = gradient.reshape(2, 5, 2, 5, 2, 3).sum((2, 4))
    np.testing.assert_allclose(sums * open_windows, to_pool * open_windows, rtol=1e-4, atol=1e-6)
    with pytest.raises(
        ValueError, match=r"perturb\['conv1/activation'\] has the shape \(5,\), which does not broadcast"
    ):
        model.apply_with_layers(variables, images, perturb={"conv1/activation": jnp.zeros(5)})
    with pytest.raises(ValueError, match="no layer 'pool1/activation'; did you mean"):
        model.apply_with_layers(variables, images, ("pool1/activation",))


def test_under_jit_and_vmap(small):
    model, variables, images = small

    @jax.jit
    def gradients(images):
        def of_one(image, change):
            return model.apply_with_layers(variables, image[None], ("pool1",), {"conv2": change})[0][0, 0]

        return jax.vmap(jax.grad(of_one, argnums=1), in_axes=(0, None))(images, jnp.zeros(4))

    summed = gradients(images)
    assert summed.shape == (2, 4)
    # a perturbation of the channels is added at every place, as a bias is
    to_bias = jax.grad(lambda params: applied(model, {"params": params}, images[:1], False)[0][0, 0])
    np.testing.assert_allclose(summed[0], to_bias(variables["params"])["conv2"]["bias"], rtol=1e-4, atol=1e-6)


def test_plain_application_is_fused_as_ever(small):
    model, variables, images = small

    def max_pools(apply):
        return str(jax.make_jaxpr(apply)(variables, images)).count("custom_vjp_call")

    plain = max_pools(lambda *both: model.apply(*both, train=False)[0])
    assert plain == max_pools(lambda *both: model.apply_with_layers(*both)[0])
    assert plain == max_pools(lambda *both: model.apply_with_layers(*both, capture=("pool1",))[::3])
    assert plain != max_pools(lambda *both: model.apply_with_layers(*both, capture=("conv1",))[::3])


def test_a_name_by_itself_is_one_layer(small):
    model, variables, images = small
    assert set(model.apply_with_layers(variables, images, "head/dense1")[3]) == {"head/dense1"}


def test_unknown_layers_and_misshapen_perturbations(small):
    model, variables, images = small
    with pytest.raises(
        ValueError, match=r"no layer 'conv3'; did you mean 'conv\d'\? The layers are: conv1, pool1, conv2"
    ):
        model.apply_with_layers(variables, images, capture=("conv1", "conv3"))
    with pytest.raises(ValueError, match="no layer 'head'; did you mean 'head/"):
        model.apply_with_layers(variables, images, perturb={"head": jnp.zeros(5)})
    with pytest.raises(ValueError, match=r"perturb\['conv2'\] has the shape \(5,\), which does not broadcast"):
        model.apply_with_layers(variables, images, perturb={"conv2": jnp.zeros(5)})
    with pytest.raises(ValueError, match="does not broadcast"):
        model.apply_with_layers(variables, images, perturb={"conv2": jnp.zeros((7, 2, 3, 3, 4))})


def test_an_auxiliary_classifier_is_read_in_training_alone():
    model = models.create(GoogLeNet(width=0.05, modules=(1, 1, 0), aux_dense=4, aux_pool="adaptive"), CLASSES)
    variables = model.variable_shapes((65, 65, 3))
    images = jax.ShapeDtypeStruct((1, 65, 65, 3), jnp.float32)
    with pytest.raises(ValueError, match="layer 'aux1/conv' runs only in training; use train=True"):
        jax.eval_shape(lambda *both: model.apply_with_layers(*both, capture=("aux1/conv",)), variables, images)
