"""Sums over examples, by hand."""

import jax.numpy as jnp
import numpy as np
import pytest

from cnn_jax.train.metrics import Sums, means, measure


def test_by_hand():
    logits = jnp.log(jnp.asarray([[0.5, 0.25, 0.25], [0.1, 0.8, 0.1], [0.2, 0.2, 0.6]]))
    sums = measure(logits, jnp.asarray([0, 1, 0]), jnp.asarray([1.0, 1.0, 1.0]))
    values = means(sums)
    assert values["accuracy"] == pytest.approx(2 / 3)
    assert values["loss"] == pytest.approx(-(np.log(0.5) + np.log(0.8) + np.log(0.2)) / 3, rel=1e-6)


def test_fillings_do_not_count():
    logits = jnp.asarray([[9.0, 0.0], [9.0, 0.0]])
    sums = measure(logits, jnp.asarray([0, 0]), jnp.asarray([1.0, 0.0]))
    assert (int(sums.correct), int(sums.examples)) == (1, 1)


def test_batches_of_any_size_add_up():
    logits = jnp.asarray(np.random.default_rng(0).standard_normal((7, 3)), jnp.float32)
    labels, weights = jnp.asarray([0, 1, 2, 0, 1, 2, 0]), jnp.ones(7)
    whole = measure(logits, labels, weights)
    parts = Sums.zero()
    for start, end in ((0, 3), (3, 4), (4, 7)):
        parts += measure(logits[start:end], labels[start:end], weights[start:end])
    assert int(parts.correct) == int(whole.correct)
    assert int(parts.examples) == 7
    assert float(parts.loss) == pytest.approx(float(whole.loss), rel=1e-6)
