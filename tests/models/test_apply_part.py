"""Parts of a network: from given outputs of layers, up to a layer."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from support.gradients import applied

from cnn_jax import models
from cnn_jax.config.model import Cnn


@pytest.fixture(scope="module")
def network():
    model = models.create(Cnn(features=(3, 4), kernel_size=3, pooling=("max", "none"), dense=(5,), padding="SAME"), 2)
    return model, model.init(jax.random.key(0), (8, 8, 1)), jax.random.normal(jax.random.key(1), (2, 8, 8, 1))


part = jax.jit(models.Model.apply_part, static_argnums=(0,), static_argnames=("stop",))


def test_two_parts_make_the_whole(network):
    model, variables, images = network
    expected = np.asarray(applied(model, variables, images, False)[0])
    maps = part(model, variables, images, stop="pool1")
    assert maps.shape == (2, 4, 4, 3)
    ours = part(model, variables, jnp.full_like(images, jnp.nan), {"pool1": maps})
    assert np.ptp(expected) > 0
    np.testing.assert_allclose(ours, expected, rtol=1e-5, atol=1e-6)


def test_up_to_a_layer_images_may_have_another_size(network):
    model, variables, images = network
    crop = part(model, variables, images[:, :6], stop="pool1")
    whole = part(model, variables, images, stop="pool1")
    np.testing.assert_allclose(crop[:, :2], whole[:, :2], rtol=1e-5, atol=1e-6)
    assert [row.name for row in model.part_rows(variables, (6, 8, 1), "pool1")] == ["conv1", "pool1"]


def test_layers_that_do_not_run(network):
    model, variables, images = network
    with pytest.raises(ValueError, match="layer 'conv9' does not run here; the layers are: conv1, pool1, conv2"):
        model.apply_part(variables, images, stop="conv9")
    with pytest.raises(ValueError, match="layer 'conv2' does not run here; the layers are: conv1, pool1"):
        model.apply_part(variables, images, {"conv2": jnp.zeros((2, 4, 4, 4))}, stop="pool1")
    with pytest.raises(ValueError, match=r"replace\['conv2'\] has the shape \(1, 4, 4, 4\), the output \(2, 4, 4, 4\)"):
        model.apply_part(variables, images, {"conv2": jnp.zeros((1, 4, 4, 4))})
