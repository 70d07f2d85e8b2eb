"""Flax's own layers inside a network: their rows by hand, and refusals of what the table cannot describe."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import pytest

from cnn_jax.blocks import ConvBlock, Policy
from cnn_jax.layer_rows import LayerTableError
from cnn_jax.models import Model


class Mixed(nn.Module):
    """Blocks of this package beside layers of Flax."""

    @nn.compact
    def __call__(self, images, train):
        x = ConvBlock(4, 3, Policy(padding="SAME"), name="block")(images, train)  # 9x8x4
        x = nn.Conv(6, (3, 2), strides=2, padding="SAME", kernel_dilation=(2, 1), name="strided")(x)  # 5x4x6
        x = nn.BatchNorm(use_running_average=not train, name="norm")(x)
        x = nn.Conv(8, (3, 3), padding=1, feature_group_count=2, use_bias=False, name="grouped")(x)  # 5x4x8
        x = nn.GroupNorm(num_groups=2, use_bias=False, name="groups")(x)
        x = nn.LayerNorm(name="layer")(x)
        x = nn.Conv(3, (3, 3), padding="CIRCULAR", name="wrapped")(x)  # 5x4x3
        x = x.reshape(len(x), -1)
        return nn.Dense(5, name="logits")(x), ()


def test_rows_of_flax_layers_by_hand():
    model = Model(Mixed())
    rows = {row.name: row for row in model.layers((9, 8, 3))}
    assert list(rows) == ["block", "strided", "norm", "grouped", "groups", "layer", "wrapped", "logits"]
    assert [row.kind for row in rows.values()] == [
        "conv",
        "conv",
        "batch_norm",
        "conv",
        "group_norm",
        "layer_norm",
        "conv",
        "dense",
    ]
    assert [row.output_shape for row in rows.values()] == [
        (9, 8, 4),
        (5, 4, 6),
        (5, 4, 6),
        (5, 4, 8),
        (5, 4, 8),
        (5, 4, 8),
        (5, 4, 3),
        (5,),
    ]
    weights = {"block": 9 * 3 * 4, "strided": 6 * 4 * 6, "grouped": 9 * 3 * 8, "wrapped": 9 * 8 * 3, "logits": 60 * 5}
    biases = {"block": 4, "strided": 6, "wrapped": 3, "logits": 5}
    norms = {"norm": 12, "groups": 8, "layer": 16}  # scale and bias; the group norm has no bias
    places = {"block": 72, "strided": 20, "grouped": 20, "wrapped": 20, "logits": 1}
    for name, row in rows.items():
        assert row.parameters == weights.get(name, 0) + biases.get(name, 0) + norms.get(name, 0), name
        assert row.multiply_adds == weights.get(name, 0) * places.get(name, 0), name
    strided, grouped = rows["strided"], rows["grouped"]
    # 3 taps 2 apart span 5 of 9 rows: 5 outputs take 13, so 2 + 2 are padded; 2 of 8 columns: 4 outputs take 8
    assert (strided.window, strided.strides, strided.dilation) == ((3, 2), (2, 2), (2, 1))
    assert (strided.padding, strided.pads) == ("SAME", ((2, 2), (0, 0)))
    assert (grouped.groups, grouped.pads) == (2, ((1, 1), (1, 1)))
    assert rows["wrapped"].pads == ((1, 1), (1, 1))
    assert [row.sources for row in rows.values()] == [(number - 1,) for number in range(8)]


def test_a_network_of_flax_layers_can_be_initialised():
    variables = Model(Mixed()).init(jax.random.key(0), (9, 8, 3))
    assert sum(leaf.size for leaf in jax.tree.leaves(variables["params"])) == sum(
        row.parameters for row in Model(Mixed()).layers((9, 8, 3))
    )
    assert variables["params"]["strided"]["kernel"].any()


class Gain(nn.Module):
    """A layer that owns a parameter and records no row."""

    @nn.compact
    def __call__(self, x):
        return x * self.param("gain", nn.initializers.ones, (x.shape[-1],))


class Unknown(nn.Module):
    """A network with such a layer."""

    @nn.compact
    def __call__(self, images, train):
        x = Gain(name="gain")(nn.Conv(4, (3, 3), name="conv")(images))
        return nn.Dense(2, name="logits")(x.mean((1, 2))), ()


def test_a_module_without_a_row_is_named():
    with pytest.raises(LayerTableError, match=r"module gain owns 4 parameters and has no row; .*emit"):
        Model(Unknown()).layers((5, 5, 1))


class OneDimensional(nn.Module):
    """A network that convolves along a single axis."""

    @nn.compact
    def __call__(self, images, train):
        return nn.Conv(2, (3,), name="along")(images[:, 0]).mean(1), ()


def test_a_convolution_of_other_dimensions_is_refused():
    with pytest.raises(LayerTableError, match=r"layer along: .*kernel_size=\(3,\)"):
        Model(OneDimensional()).layers((5, 5, 1))


class Shared(nn.Module):
    """A network that runs a layer twice."""

    @nn.compact
    def __call__(self, images, train):
        layer = nn.Dense(3, name="shared")
        return layer(layer(images.mean((1, 2)))), ()


def test_a_layer_that_runs_twice_has_no_table():
    model = Model(Shared())
    with pytest.raises(LayerTableError, match="two layers are named shared: a module runs twice"):
        model.layers((5, 5, 3))
    assert model.init(jax.random.key(0), (5, 5, 3))["params"]["shared"]["kernel"].shape == (3, 3)


def test_flax_layers_compute_what_they_always_do():
    model, images = Model(Mixed()), jax.random.normal(jax.random.key(1), (2, 9, 8, 3))
    variables = model.init(jax.random.key(0), (9, 8, 3))
    logits, _, _ = model.apply(variables, images, train=False)
    assert jnp.any(logits)
    assert jnp.array_equal(logits, model.module.apply(variables, images, train=False)[0])
