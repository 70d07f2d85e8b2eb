"""Convolution, norm and pooling that a TPU does together, beside the layers one by one."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnn_jax.blocks import ConvBlock, Policy, Pooling
from cnn_jax.layer_rows import trace_layers
from cnn_jax.ops.platform import building_for

POLICY = Policy(padding="SAME", norm="batch", norm_images=2)


def learn(block, x):
    """Output, gradients, running statistics, and the layers as they are recorded."""
    variables = block.init(jax.random.key(0), x, train=False)
    scale = jnp.asarray([(-1.0) ** channel for channel in range(block.features)])
    variables["params"]["norm"]["scale"] = scale  # some fall

    def output(params, x):
        return block.apply({**variables, "params": params}, x, train=True, mutable="batch_stats")

    y, back, kept = jax.vjp(output, variables["params"], x, has_aux=True)
    toward = jax.random.normal(jax.random.key(2), y.shape)
    with trace_layers() as trace:
        output(variables["params"], x)
    return (y, back(toward), kept), trace.rows


@pytest.mark.parametrize(
    "block",
    [
        ConvBlock(6, 3, POLICY, pooling=Pooling("pool", "max", 3, 2, "SAME")),
        ConvBlock(6, 3, POLICY, order="conv-norm", pooling=Pooling("pool", "max")),
        ConvBlock(6, 1, POLICY, pooling=Pooling("pool", "max")),
        ConvBlock(6, 3, POLICY, pooling=Pooling("pool", "avg")),
        ConvBlock(6, 3, dataclasses.replace(POLICY, activation="gelu"), pooling=Pooling("pool", "max")),
        ConvBlock(6, 3, POLICY, order="conv-activation-norm", pooling=Pooling("pool", "max")),
    ],
    ids=["stem", "no activation", "pointwise", "average", "activation that falls", "norm last"],
)
def test_a_stage_for_a_tpu_learns_the_same(block):
    x = jax.random.normal(jax.random.key(1), (4, 6, 6, 3))
    with building_for("tpu"):
        joined, rows = learn(block, x)
        apart, expected_rows = learn(block.clone(policy=dataclasses.replace(block.policy, lowering="xla")), x)
    assert rows == expected_rows
    for ours, expected in zip(jax.tree.leaves(joined), jax.tree.leaves(apart), strict=True):
        assert jnp.any(expected)  # two results of zeros would be equal
        np.testing.assert_allclose(ours, expected, rtol=0, atol=1e-5 * float(jnp.abs(expected).max()))
