"""Sums over examples, by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnn_jax.train.metrics import Sums, means, measure, rank


def one_hot(*labels, classes=3):
    return jax.nn.one_hot(jnp.asarray(labels), classes)


def test_by_hand():
    logits = jnp.log(jnp.asarray([[0.5, 0.25, 0.25], [0.1, 0.8, 0.1], [0.2, 0.2, 0.6]]))
    sums = measure(logits, one_hot(0, 1, 0), jnp.asarray([1.0, 1.0, 1.0]))
    values = means(sums, 3)
    assert values["accuracy"] == pytest.approx(2 / 3)
    assert values["top1_error"] == pytest.approx(1 / 3)
    assert values["loss"] == pytest.approx(-(np.log(0.5) + np.log(0.8) + np.log(0.2)) / 3, rel=1e-6)


def test_mixed_targets_count_for_the_heavier_label():
    logits = jnp.log(jnp.asarray([[0.5, 0.25, 0.25], [0.5, 0.4, 0.1], [0.1, 0.5, 0.4]]))
    targets = jnp.asarray([[0.75, 0.25, 0.0], [0.25, 0.75, 0.0], [0.0, 0.5, 0.5]])  # the last a tie: class 1
    sums = measure(logits, targets, jnp.ones(3))
    assert int(sums.correct) == 2
    # cross-entropies 0.75 ln 2 + 0.25 ln 4, 0.25 ln 2 - 0.75 ln 0.4 and 0.5 ln 2 - 0.5 ln 0.4
    expected = (0.75 + 0.5 + 0.25 + 0.5) * np.log(2) - 1.25 * np.log(0.4)
    assert float(sums.loss) == pytest.approx(expected, rel=1e-6)


def test_fillings_do_not_count():
    logits = jnp.asarray([[9.0, 0.0], [9.0, 0.0]])
    sums = measure(logits, one_hot(0, 0, classes=2), jnp.asarray([1.0, 0.0]))
    assert (int(sums.correct), int(sums.correct_top5), int(sums.examples)) == (1, 1, 1)


def test_batches_of_any_size_add_up():
    logits = jnp.asarray(np.random.default_rng(0).standard_normal((7, 8)), jnp.float32)
    targets, weights = one_hot(0, 1, 2, 0, 1, 2, 0, classes=8), jnp.ones(7)
    whole = measure(logits, targets, weights)
    parts = Sums.zero(8)
    for start, end in ((0, 3), (3, 4), (4, 7)):
        parts += measure(logits[start:end], targets[start:end], weights[start:end])
    assert (int(parts.correct), int(parts.correct_top5)) == (int(whole.correct), int(whole.correct_top5))
    assert int(parts.examples) == 7
    assert float(parts.loss) == pytest.approx(float(whole.loss), rel=1e-6)


@pytest.mark.parametrize(
    ("logits", "expected"),  # the rank of each class: greater logits, then equal ones before it
    [
        ([3.0, 1.0, 2.0, 0.0], [0, 2, 1, 3]),
        ([1.0, 2.0, 1.0, 2.0], [2, 0, 3, 1]),
        ([0.0, -0.0, 0.0, 0.0], [0, 1, 2, 3]),
        ([float("-inf"), 1.0, float("inf"), 1.0], [3, 1, 0, 2]),
        ([float("nan"), 1.0, 0.0, 2.0], [4, 2, 3, 1]),  # no number: behind all where it is the label's, else before
    ],
)
def test_ranks_by_hand(logits, expected):
    assert rank(jnp.tile(jnp.asarray(logits), (4, 1)), jnp.arange(4)).tolist() == expected


def test_ranks_break_ties_as_argmax_and_top_k_do():
    rng = np.random.default_rng(1)
    logits = jnp.asarray(rng.integers(0, 4, (500, 9)), jnp.float32)  # four values among nine classes: many ties
    labels = jnp.asarray(rng.integers(0, 9, 500), jnp.int32)
    ranks = rank(logits, labels)
    assert np.array_equal(ranks == 0, jnp.argmax(logits, axis=1) == labels)
    _, order = jax.lax.top_k(logits, 9)
    assert np.array_equal(jnp.take_along_axis(order, ranks[:, None], axis=1)[:, 0], labels)


def test_top5_by_hand():
    logits = jnp.asarray([[6.0, 5.0, 4.0, 3.0, 2.0, 1.0]] * 4 + [[0.0] * 6] * 2)
    sums = measure(logits, one_hot(0, 3, 4, 5, 4, 5, classes=6), jnp.ones(6))
    values = means(sums, 6)
    assert (values["top1_error"], values["top5_error"]) == (5 / 6, 2 / 6)  # the fourth, and the last by its place


@pytest.mark.parametrize(("classes", "there"), [(2, False), (5, False), (6, True)])
def test_top5_error_says_nothing_of_five_classes(classes, there):
    sums = measure(jnp.zeros((2, classes)), one_hot(0, 1, classes=classes), jnp.ones(2))
    assert int(sums.correct_top5) == 2
    assert ("top5_error" in means(sums, classes)) == there
