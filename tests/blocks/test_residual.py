"""Residual blocks by hand: what is added to what, and where padding makes maps smaller."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnn_jax.blocks import Policy, ResidualBlock
from cnn_jax.layer_rows import trace_layers
from cnn_jax.ops import GeometryError
from cnn_jax.ops.platform import building_for

PLAIN = Policy(padding="SAME", norm="none")


def started(block, shape, seed=0):
    """The block's variables, random in every entry, and an image batch."""
    x = jax.random.normal(jax.random.key(seed), (2, *shape))
    variables = jax.eval_shape(functools.partial(block.init, train=False), jax.random.key(0), x)
    rng = np.random.default_rng(seed)
    return jax.tree.map(lambda leaf: jnp.asarray(rng.standard_normal(leaf.shape), jnp.float32), variables), x


def output(block, variables, x):
    return jax.jit(functools.partial(block.apply, train=False))(variables, x)


def conv3x3(x, layer, stride=1):
    """SAME convolution of 3x3 by its definition; of stride 2 over even sizes the padding is at the end."""
    kernel, bias = np.asarray(layer["kernel"]), np.asarray(layer.get("bias", 0))
    before = 1 if stride == 1 else 0
    padded = np.pad(x, ((0, 0), (before, 1), (before, 1), (0, 0)))
    size = x.shape[1] // stride
    out = np.zeros((x.shape[0], size, size, kernel.shape[-1]))
    for i in range(size):
        for j in range(size):
            window = padded[:, i * stride : i * stride + 3, j * stride : j * stride + 3]
            out[:, i, j] = np.einsum("bhwc,hwco->bo", window, kernel)
    return out + bias


def relu(x):
    return np.maximum(x, 0)


def test_a_basic_block_adds_its_input():
    block = ResidualBlock(3, PLAIN)
    variables, x = started(block, (6, 6, 3))
    params, image = variables["params"], np.asarray(x, np.float64)
    branch = conv3x3(relu(conv3x3(image, params["conv1"])), params["conv2"])
    np.testing.assert_allclose(output(block, variables, x), relu(branch + image), rtol=1e-4, atol=1e-4)
    plain = ResidualBlock(3, PLAIN, shortcut="none")
    np.testing.assert_allclose(output(plain, variables, x), relu(branch), rtol=1e-4, atol=1e-4)


def test_a_projection_takes_every_second_pixel():
    block = ResidualBlock(4, PLAIN, strides=2)
    variables, x = started(block, (6, 6, 3))
    params, image = variables["params"], np.asarray(x, np.float64)
    shortcut = params["shortcut"]
    projected = image[:, ::2, ::2] @ np.asarray(shortcut["kernel"])[0, 0] + np.asarray(shortcut["bias"])
    branch = conv3x3(relu(conv3x3(image, params["conv1"], stride=2)), params["conv2"])
    np.testing.assert_allclose(output(block, variables, x), relu(branch + projected), rtol=1e-4, atol=1e-4)


def test_a_padded_shortcut_has_zeros_for_new_channels():
    block = ResidualBlock(5, PLAIN, strides=2, shortcut="padded")
    variables, x = started(block, (6, 6, 3))
    params, image = variables["params"], np.asarray(x, np.float64)
    assert set(params) == {"conv1", "conv2"}
    branch = conv3x3(relu(conv3x3(image, params["conv1"], stride=2)), params["conv2"])
    skipped = np.concatenate([image[:, ::2, ::2], np.zeros((2, 3, 3, 2))], axis=-1)
    np.testing.assert_allclose(output(block, variables, x), relu(branch + skipped), rtol=1e-4, atol=1e-4)


def test_pre_activation_leaves_the_sum_as_it_is():
    block = ResidualBlock(3, PLAIN, pre_activation=True)
    variables, x = started(block, (6, 6, 3))
    params, image = variables["params"], np.asarray(x, np.float64)
    branch = conv3x3(relu(conv3x3(relu(image), params["conv1"])), params["conv2"])
    np.testing.assert_allclose(output(block, variables, x), image + branch, rtol=1e-4, atol=1e-4)


def test_valid_padding_adds_the_middle_of_the_input():
    """Two 3x3 windows lose two pixels on each side; the sums must meet at the windows' centres."""
    policy = Policy(padding="VALID", norm="none", activation="identity")
    block = ResidualBlock(1, policy)
    variables, x = started(block, (8, 8, 1))
    centre = jnp.zeros((3, 3, 1, 1)).at[1, 1].set(1.0)
    variables = {"params": {name: {"kernel": centre, "bias": jnp.zeros(1)} for name in ("conv1", "conv2")}}
    np.testing.assert_allclose(output(block, variables, x), 2 * x[:, 2:-2, 2:-2], rtol=1e-6)
    strided = ResidualBlock(1, policy, strides=2, shortcut="padded")
    # 14 pixels: 6 windows with centres at 1, 3, ..., 11, of which 4 have their centres at 3, 5, 7, 9
    x = jax.random.normal(jax.random.key(1), (1, 14, 14, 1))
    np.testing.assert_allclose(output(strided, variables, x), 2 * x[:, 3:10:2, 3:10:2], rtol=1e-6)


def test_growing_maps_are_refused_with_the_layer():
    block = ResidualBlock(1, Policy(padding=2, norm="none"), name="stage1_block1")
    with pytest.raises(GeometryError, match=r"layer shortcut, input 8x8x1: padding makes .* grow to 12x12"):
        started(block, (8, 8, 1))


@pytest.mark.parametrize("pre", [False, True])
def test_a_block_can_start_as_the_identity(pre):
    block = ResidualBlock(3, Policy(norm="batch"), pre_activation=pre, zero_init=True)
    x = jax.random.normal(jax.random.key(0), (2, 5, 5, 3))
    variables = block.init(jax.random.key(0), x, train=False)
    assert jnp.any(variables["params"]["conv1"]["kernel"])
    y, _ = block.apply(variables, x, train=True, mutable=["batch_stats"])
    np.testing.assert_allclose(y, x if pre else jax.nn.relu(x), rtol=1e-6)


@pytest.mark.parametrize(("stride_in", "sizes"), [("3x3", [8, 4, 4]), ("1x1", [4, 4, 4])])
def test_where_a_bottleneck_strides(stride_in, sizes):
    block = ResidualBlock(8, PLAIN, strides=2, bottleneck_features=2, stride_in=stride_in)
    with trace_layers() as trace:
        started(block, (8, 8, 3))
    rows = trace.rows
    convolutions = [row for row in rows if row.kind == "conv"]
    assert [row.output_shape[0] for row in convolutions[:3]] == sizes
    assert [row.window for row in convolutions] == [(1, 1), (3, 3), (1, 1), (1, 1)]
    assert rows[-1].kind == "add"
    assert [rows[source].name for source in rows[-1].sources] == ["conv3", "shortcut"]


@pytest.mark.parametrize("strides", [1, 2])
def test_a_bottleneck_for_a_tpu_learns_the_same(strides):
    """There the wide convolutions and their norms are one; the lowering "xla" keeps them two."""
    policy = Policy(padding="SAME", norm="batch", norm_images=2)
    block = ResidualBlock(32, policy, strides=strides, bottleneck_features=8)
    x = jax.random.normal(jax.random.key(1), (4, 6, 6, 16))
    variables = jax.jit(functools.partial(block.init, train=False))(jax.random.key(0), x)
    cotangent = jax.random.normal(jax.random.key(2), (4, 6 // strides, 6 // strides, 32))

    def step(block):
        def output(params, x):
            return block.apply({**variables, "params": params}, x, train=True, mutable="batch_stats")

        @jax.jit
        def learn(params, x, cotangent):
            y, back, kept = jax.vjp(output, params, x, has_aux=True)
            return y, back(cotangent), kept

        products = str(jax.make_jaxpr(lambda params: output(params, x)[0])(variables["params"])).count("dot_general")
        return learn(variables["params"], x, cotangent), products

    with building_for("tpu"):
        fused, products = step(block)
        apart, none = step(block.clone(policy=dataclasses.replace(policy, lowering="xla")))
    assert products > 0 == none  # the last convolution and the projection count their channels' products
    for ours, expected in zip(jax.tree.leaves(fused), jax.tree.leaves(apart), strict=True):
        assert jnp.any(expected)  # two results of zeros would be equal
        np.testing.assert_allclose(ours, expected, rtol=0, atol=1e-5 * float(jnp.abs(expected).max()))
