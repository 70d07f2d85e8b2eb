"""A training step of every small network under every padding, on the smallest image that is legal."""

import pytest
from support.tiny_networks import SIDE, TINY
from support.training_step import CLASSES, check_step

from cnn_jax import models
from cnn_jax.ops import GeometryError

# `make test` has their steps under SAME, and their sizes under some paddings, in test_every_network.py.
pytestmark = pytest.mark.exhaustive


def smallest(config):
    """The side of the smallest image that is legal."""
    for side in (1, 3, 5, 9, 13, SIDE, 31, 43, 58, 69):
        try:
            models.create(config, CLASSES).layers((side, side, 3))
        except GeometryError:
            continue
        return side
    raise AssertionError("no image is legal")


@pytest.mark.parametrize("compute", ["float32", "bfloat16"])
@pytest.mark.parametrize("padding", ["VALID", "SAME", "SAME_LOWER", "TORCH", "REFLECT", "REPLICATE", "CIRCULAR"])
@pytest.mark.parametrize("config", TINY, ids=lambda config: config.name)
def test_a_training_step_under_every_padding(config, padding, compute):
    config = config.model_copy(update={"padding": padding})
    check_step(config, max(SIDE, smallest(config)), compute)
