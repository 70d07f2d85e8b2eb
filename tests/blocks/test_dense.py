"""Heads by hand: radial basis units, adaptive pooling, where dropout falls."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnn_jax import ops
from cnn_jax.blocks import DenseHead, Policy, RbfUnits
from cnn_jax.blocks.digit_pictures import DIGITS
from cnn_jax.layer_rows import trace_layers
from cnn_jax.ops import GeometryError


def test_a_radial_basis_unit_is_largest_at_its_prototype():
    units = RbfUnits(10, "digits")
    logits = units.apply(units.init(jax.random.key(0), jnp.asarray(DIGITS)), jnp.asarray(DIGITS))
    expected = -np.square(DIGITS[:, None] - DIGITS).sum(-1)
    np.testing.assert_allclose(logits, expected)
    assert (np.argmax(logits, axis=1) == np.arange(10)).all()
    # any two pictures differ in at least five pixels, of a squared distance of 4 each
    assert np.sort(expected, axis=1)[:, -2].max() <= -20
    with pytest.raises(GeometryError, match=r"10 pictures of 84 pixels.*prototypes=random"):
        units.init(jax.random.key(0), jnp.zeros((1, 80)))


def test_learned_prototypes_are_parameters_and_fixed_ones_are_not():
    x = jnp.zeros((1, 5))
    assert RbfUnits(3, "learned").init(jax.random.key(0), x)["params"]["prototypes"].shape == (3, 5)
    fixed = RbfUnits(3, "random")
    assert not jax.tree.leaves(fixed.init(jax.random.key(0), x))
    np.testing.assert_allclose(fixed.apply({}, x), np.full((1, 3), -5.0))  # signs: all squares are 1


@pytest.mark.parametrize(("size", "outputs"), [((7, 5), (3, 2)), ((6, 6), (6, 6)), ((3, 8), (4, 4))])
def test_adaptive_pooling_by_its_windows(size, outputs):
    """PyTorch's windows: from floor(i n / o) to ceil((i + 1) n / o)."""
    x = np.random.default_rng(0).standard_normal((2, *size, 3)).astype(np.float32)
    expected = np.zeros((2, *outputs, 3))
    for i in range(outputs[0]):
        for j in range(outputs[1]):
            rows = slice(i * size[0] // outputs[0], -(-(i + 1) * size[0] // outputs[0]))
            columns = slice(j * size[1] // outputs[1], -(-(j + 1) * size[1] // outputs[1]))
            expected[:, i, j] = x[:, rows, columns].mean((1, 2))
    np.testing.assert_allclose(ops.adaptive_avg_pool(jnp.asarray(x), outputs), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("where", "order"),
    [
        ("outputs", ["dense1", "dropout1", "dense2", "dropout2", "logits"]),
        ("inputs", ["dropout1", "dense1", "dropout2", "dense2", "logits"]),
    ],
)
def test_where_dropout_falls(where, order):
    head = DenseHead((4, 3), 2, Policy(), 0.5, where)
    with trace_layers() as trace:
        head.init({"params": jax.random.key(0), "dropout": jax.random.key(1)}, jnp.ones((1, 2, 2, 1)), train=True)
    assert [row.name for row in trace.rows] == ["flatten", *order]
