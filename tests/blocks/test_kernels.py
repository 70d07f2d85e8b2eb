"""Initial kernels: the variance of each scheme, drawn by a module itself and cut from one draw."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnn_jax import models
from cnn_jax.blocks import ConvBlock, Dense, Policy
from cnn_jax.blocks.kernels import SCHEMES, KernelSpec, initial_kernels_from, kernel_init, split_kernels
from cnn_jax.config.model import Cnn


def expected_variance(name, shape):
    scale, fan, _ = SCHEMES[name]
    window, inputs, outputs = int(np.prod(shape[:-2])), *shape[-2:]
    return (
        scale
        / {"in": window * inputs, "out": window * outputs, "mean": window * (inputs + outputs) / 2, "none": 1}[fan]
    )


def assert_drawn_by(kernel, name):
    expected = expected_variance(name, kernel.shape)
    # the variance of 21,600 draws of kurtosis below 3 is within 4 % by four standard errors
    assert float(jnp.var(kernel)) == pytest.approx(expected, rel=0.04)
    assert abs(float(kernel.mean())) < 4 * np.sqrt(expected / kernel.size)


@pytest.mark.parametrize("name", SCHEMES)
def test_kernels_have_the_variance_of_their_scheme(name):
    assert_drawn_by(kernel_init(name)(jax.random.key(0), (3, 3, 40, 60)), name)


@pytest.mark.parametrize("name", SCHEMES)
def test_a_block_initialised_by_itself_draws_its_kernel(name):
    policy = Policy(kernel_init=name)
    block = ConvBlock(60, 3, policy).init(jax.random.key(0), jnp.zeros((1, 5, 5, 40)), train=False)
    assert_drawn_by(block["params"]["kernel"], name)
    dense = Dense(144, policy).init(jax.random.key(0), jnp.zeros((1, 150)))
    assert_drawn_by(dense["params"]["kernel"], name)


def test_two_blocks_of_one_network_have_different_kernels():
    params = models.create(Cnn(features=(4, 4, 4), padding="SAME"), 3).module.init(
        jax.random.key(0), jnp.zeros((1, 8, 8, 4)), train=False
    )["params"]
    kernels = [params[name]["kernel"] for name in ("conv1", "conv2", "conv3")]
    assert not np.array_equal(kernels[0], kernels[1])
    assert not np.array_equal(kernels[1], kernels[2])


def test_kernels_cut_from_one_draw():
    specs = [KernelSpec((2, 3), "he_normal"), KernelSpec((1, 2, 2, 1), "lecun_normal")]
    first, second = split_kernels(jnp.arange(10.0), specs)
    # he_normal: variance 2 / 2 inputs; lecun_normal: 1 / (2 pixels x 2 inputs)
    np.testing.assert_allclose(first, np.arange(6.0).reshape(2, 3))
    np.testing.assert_allclose(second, np.arange(6.0, 10.0).reshape(1, 2, 2, 1) / 2)


def test_kernels_can_be_supplied():
    x, block = jnp.zeros((1, 5, 5, 2)), ConvBlock(3, 3, Policy(kernel_init="he_normal"))
    asked = []

    def ones(spec):
        asked.append(spec)
        return jnp.ones(spec.shape)

    with initial_kernels_from(ones):
        kernel = block.init(jax.random.key(0), x, train=False)["params"]["kernel"]
    np.testing.assert_array_equal(kernel, np.ones((3, 3, 2, 3)))
    assert asked == [KernelSpec((3, 3, 2, 3), "he_normal")]
    assert not np.array_equal(block.init(jax.random.key(0), x, train=False)["params"]["kernel"], kernel)


def test_a_kernel_that_starts_at_zero_draws_nothing():
    block = ConvBlock(3, 3, Policy(), zero_init=True)
    with initial_kernels_from(lambda spec: pytest.fail(f"drew {spec}")):
        kernel = block.init(jax.random.key(0), jnp.zeros((1, 5, 5, 2)), train=False)["params"]["kernel"]
    assert not kernel.any()
