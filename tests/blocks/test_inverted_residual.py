"""Widths, squeeze-and-excitation and inverted residual blocks against their definitions."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnn_jax.blocks import InvertedResidual, Policy, Squeeze, SqueezeExcite, make_divisible


@pytest.mark.parametrize(
    # as torchvision's _make_divisible gives them: never below nine tenths
    ("width", "expected"),
    [(3.2, 8), (8, 8), (11.2, 16), (12, 16), (18, 24), (24, 24), (33.6, 32), (120, 120), (32 * 1.4, 48)],
)
def test_widths_are_multiples_of_8(width, expected):
    assert make_divisible(width) == expected


def test_squeeze_and_excitation_by_hand():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((2, 3, 4, 5)).astype(np.float32)
    block = SqueezeExcite(Squeeze(2, "relu", "hard_sigmoid"), Policy(norm="batch"))
    params = jax.tree.map(
        lambda leaf: jnp.asarray(rng.standard_normal(leaf.shape), jnp.float32),
        block.init(jax.random.key(0), jnp.asarray(x), False)["params"],
    )
    y = block.apply({"params": params}, jnp.asarray(x), False)
    reduce, expand = params["reduce"], params["expand"]
    squeezed = np.maximum(x.mean((1, 2)) @ reduce["kernel"][0, 0] + reduce["bias"], 0)
    factors = np.clip((squeezed @ expand["kernel"][0, 0] + expand["bias"] + 3) / 6, 0, 1)
    np.testing.assert_allclose(y, x * factors[:, None, None], rtol=1e-5, atol=1e-6)
    assert (factors != 1).any()


def test_the_input_is_added_where_shapes_are_one():
    x = jnp.asarray(np.random.default_rng(1).standard_normal((1, 5, 5, 4)), jnp.float32)
    for features, strides, added in ((4, 1, True), (4, 2, False), (6, 1, False)):
        block = InvertedResidual(features, 8, Policy(), strides=strides)
        variables = block.init(jax.random.key(0), x, False)
        zeros = jax.tree.map(jnp.zeros_like, variables)
        y = block.apply(zeros, x, False)
        assert y.shape == (1, -(-5 // strides), -(-5 // strides), features)
        np.testing.assert_array_equal(y, x if added else jnp.zeros_like(y))
    # VALID takes two pixels off: the input's middle is added
    valid = InvertedResidual(4, 8, Policy(padding="VALID"))
    zeros = jax.tree.map(jnp.zeros_like, valid.init(jax.random.key(0), x, False))
    np.testing.assert_array_equal(valid.apply(zeros, x, False), x[:, 1:4, 1:4])
