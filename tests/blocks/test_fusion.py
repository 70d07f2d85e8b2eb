"""Which parts of a block are fused, and fused parts beside the layers one by one."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnn_jax.blocks import ConvBlock, Policy, Pooling
from cnn_jax.blocks.fusion import plan
from cnn_jax.layer_rows import trace_layers
from cnn_jax.ops.platform import building_for

PLAIN = Policy(padding="SAME", norm="none")
POLICY = Policy(padding="SAME", norm="batch", norm_images=2)
MAX, LARGE_MAX, AVG = Pooling("pool", "max"), Pooling("pool", "max", 3, 2, "SAME"), Pooling("pool", "avg")
APART = (("conv",), ("norm",), ("activation",), ("pooling",))


def plan_of(block, channels=3, train=True, platform="tpu", watched=()):
    return plan(block, channels, block.policy.uses_batch_statistics(("norm",), train), platform, watched)


def test_convolution_relu_and_pooling_are_one_step_on_every_platform():
    fused, apart = (("conv", "activation", "pooling"),), (("conv",), ("activation",), ("pooling",))
    for platform in ("cpu", "gpu", "tpu"):
        for train in (True, False):
            assert plan_of(ConvBlock(6, 3, PLAIN, pooling=MAX), platform=platform, train=train) == fused
    assert plan_of(ConvBlock(6, 3, PLAIN, pooling=MAX), watched={"conv"}) == apart
    assert plan_of(ConvBlock(6, 3, PLAIN, pooling=LARGE_MAX)) == apart
    assert plan_of(ConvBlock(6, 3, PLAIN, pooling=AVG)) == apart
    assert plan_of(ConvBlock(6, 3, PLAIN, pooling=MAX, strides=2)) == apart
    assert plan_of(ConvBlock(6, 3, PLAIN, pooling=MAX, dilation=2)) == apart
    assert plan_of(ConvBlock(6, 3, PLAIN, pooling=MAX, groups=3)) == apart
    assert plan_of(ConvBlock(6, 3, dataclasses.replace(PLAIN, activation="tanh"), pooling=MAX)) == apart
    assert plan_of(ConvBlock(6, 3, PLAIN)) == (("conv",), ("activation",))


def test_a_wide_pointwise_convolution_and_its_norm_are_one_step_on_a_tpu_in_training():
    fused, apart = (("conv", "norm"), ("activation",)), (("conv",), ("norm",), ("activation",))
    block = ConvBlock(6, 1, POLICY)
    assert plan_of(block) == fused
    assert plan_of(block, platform="cpu") == plan_of(block, platform="gpu") == apart
    assert plan_of(block, train=False) == apart
    assert plan_of(block, channels=4) == apart  # 6 features are less than twice as many
    assert plan_of(block, watched={"norm"}) == fused  # the norm's output is there
    assert plan_of(block, watched={"conv"}) == apart
    assert plan_of(block.clone(kernel_size=3)) == apart
    assert plan_of(block.clone(padding=1)) == apart
    assert plan_of(block.clone(policy=dataclasses.replace(POLICY, lowering="xla"))) == apart
    assert plan_of(block.clone(policy=dataclasses.replace(POLICY, lowering="space_to_depth"))) == fused
    assert plan_of(block.clone(policy=dataclasses.replace(POLICY, norm="group"))) == apart
    assert plan_of(block.clone(policy=dataclasses.replace(POLICY, frozen=("norm",)))) == apart
    assert plan_of(block.clone(order="norm-activation-conv")) == (("norm",), ("activation",), ("conv",))
    assert plan_of(block.clone(pooling=MAX)) == (*fused, ("pooling",))


def test_a_norm_and_max_pooling_are_one_step_on_a_tpu_in_training():
    fused = (("conv",), ("norm", "activation", "pooling"))
    block = ConvBlock(6, 3, POLICY, pooling=LARGE_MAX)
    assert plan_of(block) == fused
    assert plan_of(block, platform="cpu") == plan_of(block, train=False) == APART
    assert plan_of(block, watched={"conv"}) == fused  # the convolution's output is there
    assert plan_of(block, watched={"norm"}) == APART
    assert plan_of(block.clone(pooling=AVG)) == APART
    assert plan_of(block.clone(policy=dataclasses.replace(POLICY, activation="gelu"))) == APART
    assert plan_of(block.clone(order="conv-norm")) == (("conv",), ("norm", "pooling"))
    assert plan_of(block.clone(order="conv-activation-norm")) == (("conv",), ("activation",), ("norm",), ("pooling",))


def learn(block, x, capture=()):
    """Output, gradients, running statistics and captured outputs; and the rows recorded."""
    variables = block.init(jax.random.key(0), x, train=False)
    scale = jnp.asarray([(-1.0) ** channel for channel in range(block.features)])
    variables["params"]["norm"]["scale"] = scale  # some fall

    def output(params, x):
        with trace_layers(capture) as trace:
            y, kept = block.apply({**variables, "params": params}, x, train=True, mutable="batch_stats")
        return y, (kept, trace.outputs)

    y, back, (kept, outputs) = jax.vjp(output, variables["params"], x, has_aux=True)
    cotangent = jax.random.normal(jax.random.key(2), y.shape)
    with trace_layers() as trace:
        block.apply(variables, x, train=True, mutable="batch_stats")
    return (y, back(cotangent), kept, outputs), trace.rows


BLOCKS = [
    pytest.param(ConvBlock(6, 3, POLICY, pooling=LARGE_MAX), id="stem"),
    pytest.param(ConvBlock(6, 3, POLICY, order="conv-norm", pooling=MAX), id="no activation"),
    pytest.param(ConvBlock(6, 1, POLICY, pooling=MAX), id="pointwise"),
    pytest.param(ConvBlock(6, 3, POLICY, pooling=AVG), id="average"),
    pytest.param(
        ConvBlock(6, 3, dataclasses.replace(POLICY, activation="gelu"), pooling=MAX), id="activation that falls"
    ),
    pytest.param(ConvBlock(6, 3, POLICY, order="conv-activation-norm", pooling=MAX), id="norm last"),
]


def assert_close(ours, expected):
    for one, other in zip(jax.tree.leaves(ours), jax.tree.leaves(expected), strict=True):
        assert jnp.any(other)  # two results of zeros would be equal
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-5 * float(jnp.abs(other).max()))


@pytest.mark.parametrize("block", BLOCKS)
def test_a_stage_for_a_tpu_learns_the_same(block):
    x = jax.random.normal(jax.random.key(1), (4, 6, 6, 3))
    with building_for("tpu"):
        fused, rows = learn(block, x)
        apart, expected_rows = learn(block.clone(policy=dataclasses.replace(block.policy, lowering="xla")), x)
    assert rows == expected_rows
    assert_close(fused, apart)


@pytest.mark.parametrize("capture", [{"norm"}, {"pool"}, "all"], ids=["norm", "pool", "all"])
@pytest.mark.parametrize("block", BLOCKS)
def test_a_stage_for_a_tpu_whose_layers_are_read(block, capture):
    """The captured output of a fused stage equals that of the layers one by one."""
    x = jax.random.normal(jax.random.key(1), (4, 6, 6, 3))
    with building_for("tpu"):
        fused, _ = learn(block, x, capture)
        apart, _ = learn(block.clone(policy=dataclasses.replace(block.policy, lowering="xla")), x, capture)
    assert set(fused[-1]) == ({"", "norm", "pool"} if capture == "all" else capture)
    assert_close(fused, apart)
