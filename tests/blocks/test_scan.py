"""Equal blocks as a loop: the values, names and gradients of blocks one by one, in a program that does not grow."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.extend.core import jaxprs_in_params

from cnn_jax import models
from cnn_jax.config.model import CifarResNet, ResNet
from cnn_jax.ops.platform import building_for

SIDE = 8
SMALL = {"width": 4, "norm_groups": 2}
CASES = [
    CifarResNet(depth=20, **SMALL),
    CifarResNet(depth=20, activation_order="pre", norm="group", shortcut="projection", **SMALL),
    ResNet(depth=50, zero_init_scale=True, stem_kernel_size=3, stem_strides=1, stem_pooling="none", **SMALL),
]


def networks(config):
    """The network block by block, and by loops."""
    return [models.create(config.model_copy(update={"scan": scan}), 5) for scan in (False, True)]


def images(count=4):
    return jax.device_put(np.random.default_rng(1).standard_normal((count, SIDE, SIDE, 3)).astype(np.float32))


def variables(model):
    """Initial variables, those that begin at 0 and 1 moved, so that no block is like another."""
    drawn = model.init(jax.random.key(0), (SIDE, SIDE, 3))
    leaves, structure = jax.tree.flatten(drawn)
    numbers = np.random.default_rng(0)
    moved = [np.asarray(leaf + numbers.uniform(0.0, 0.01, leaf.shape), np.float32) for leaf in map(np.asarray, leaves)]
    return jax.device_put(jax.tree.unflatten(structure, moved))


def convolutions(jaxpr):
    """Number of convolutions in a program and in what it calls."""
    inner = [sub for eqn in jaxpr.eqns for sub in jaxprs_in_params(eqn.params)]
    return sum(eqn.primitive.name == "conv_general_dilated" for eqn in jaxpr.eqns) + sum(map(convolutions, inner))


@pytest.mark.parametrize("config", CASES, ids=lambda config: config.name)
def test_values_gradients_and_statistics_are_those_of_blocks_one_by_one(config):
    plain, scanned = networks(config)
    start = variables(plain)
    assert jax.tree.structure(scanned.init(jax.random.key(0), (SIDE, SIDE, 3))) == jax.tree.structure(start)

    def step(model):
        def loss(params, batch_stats, images):
            logits, _, batch_stats = model.apply({"params": params, **batch_stats}, images, True)
            return jnp.sum(logits**2), (logits, batch_stats)

        rest = {name: values for name, values in start.items() if name != "params"}
        with building_for("tpu"):  # traced in a quarter of the time that the operations for a CPU take
            return jax.jit(jax.grad(loss, has_aux=True))(start["params"], rest, images())

    expected, found = step(plain), step(scanned)
    assert jax.tree.structure(found) == jax.tree.structure(expected)
    expected, found = jax.tree.map(np.asarray, (expected, found))
    for one, other in zip(jax.tree.leaves(expected), jax.tree.leaves(found), strict=True):
        scale = float(np.abs(one).max())
        assert scale > 0
        np.testing.assert_allclose(other, one, rtol=1e-3, atol=1e-4 * scale)  # sums in another order


def test_a_program_does_not_grow_with_the_depth():
    def count(depth, scan):
        model = models.create(CifarResNet(depth=depth, scan=scan, **SMALL), 5)
        shapes = model.variable_shapes((SIDE, SIDE, 3))
        with building_for("tpu"):
            traced = jax.make_jaxpr(lambda v, x: model.apply(v, x, True)[0])(shapes, images())
        return convolutions(traced.jaxpr)

    assert count(20, scan=False) == 19  # all but the dense layer
    assert count(20, scan=True) == count(44, scan=True) == 1 + 3 * (2 + 2)  # of a stage the first block and one more


def test_layers_are_read_by_the_names_of_the_table():
    plain, scanned = networks(CASES[0])
    start = variables(plain)
    assert scanned.layers((SIDE, SIDE, 3)) == plain.layers((SIDE, SIDE, 3))
    name = "stage2_block3/conv1"
    with building_for("tpu"):
        logits, _, _, outputs = jax.jit(lambda v: scanned.apply_with_layers(v, images(), capture=[name]))(start)
        expected, _, _ = jax.jit(lambda v: scanned.apply(v, images(), False))(start)
    assert outputs[name].shape == (4, SIDE // 2, SIDE // 2, 8)
    np.testing.assert_allclose(logits, expected, rtol=1e-4, atol=1e-5)


def test_dropout_draws_anew_in_every_block():
    # All blocks of the stage alike: with one draw for all, a block of zeros' mask would be the next one's.
    config = CifarResNet(depth=20, dropout=0.5, scan=True, norm="none", **SMALL)
    model = models.create(config, 5)
    start = model.init(jax.random.key(0), (SIDE, SIDE, 3))
    with building_for("tpu"):
        run = jax.jit(lambda key: model.apply(start, images(), True, key)[0])
        first, again, other = run(jax.random.key(1)), run(jax.random.key(1)), run(jax.random.key(2))
        keys = jax.make_jaxpr(lambda key: model.apply(start, images(), True, key)[0])(jax.random.key(1))
    assert np.array_equal(first, again)
    assert not np.allclose(first, other)
    loops = [eqn for eqn in keys.jaxpr.eqns if eqn.primitive.name == "scan"]
    assert len(loops) == 3
    for loop in loops:  # each loop has as many keys as blocks
        assert any(
            jax.dtypes.issubdtype(var.aval.dtype, jax.dtypes.prng_key) and var.aval.shape == (2,) for var in loop.invars
        )


def test_frozen_statistics_stand_still():
    model = models.create(CASES[0].model_copy(update={"scan": True}), 5, frozen=("stage1_block2",))
    start = model.init(jax.random.key(0), (SIDE, SIDE, 3))
    with building_for("tpu"):
        _, _, moved = jax.jit(lambda v: model.apply(v, images(), True))(start)
    same = jax.tree.map(lambda a, b: bool((a == b).all()), dict(moved), dict(start["batch_stats"]))
    assert all(jax.tree.leaves(same["stage1_block2"]))
    assert not any(jax.tree.leaves(same["stage1_block3"]))
