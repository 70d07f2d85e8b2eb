"""Metrics as sums over examples, so that batches of any size count exactly."""

from __future__ import annotations

import collections
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Bool, Float, Int32

from cnn_jax.run import metrics


class Predictions(NamedTuple):
    """One batch as the metrics see it.

    Attributes:
      losses: Cross-entropy of each example in nats, without label smoothing; 0 for what fills up a batch.
      labels: One-hot labels; zeros for what fills up a batch.
      rank: Number of classes that the network puts before each label, as `rank` counts them.
      real: True for an example, False for what fills up a batch.
    """

    losses: Float[Array, " b"]
    labels: Int32[Array, "b k"]
    rank: Int32[Array, " b"]
    real: Bool[Array, " b"]


# What is summed over the examples; `run/metrics.py` makes the metrics of the sums.
TERMS: dict[str, Callable[[Predictions], Array]] = {
    "loss": lambda batch: jnp.sum(batch.losses),
    "correct": lambda batch: jnp.sum((batch.rank < 1) & batch.real, dtype=jnp.int32),
    "correct_top5": lambda batch: jnp.sum((batch.rank < 5) & batch.real, dtype=jnp.int32),
    "examples": lambda batch: jnp.sum(batch.real, dtype=jnp.int32),
}


class Sums(collections.namedtuple("Sums", TERMS)):  # type: ignore[misc]  # its fields are the terms
    """Sums over examples, one for each of TERMS."""

    __slots__ = ()

    @classmethod
    def zero(cls, classes: int) -> Sums:
        """Makes the sums over no example."""
        logits, weights = (jax.ShapeDtypeStruct(shape, jnp.float32) for shape in ((1, classes), (1,)))
        shapes = jax.eval_shape(measure, logits, logits, weights)
        zeros: Sums = jax.tree.map(lambda term: jnp.zeros(term.shape, term.dtype), shapes)
        return zeros

    def __add__(self, other: Sums) -> Sums:  # type: ignore[override]  # sums add up, they do not concatenate
        return jax.tree.map(jnp.add, self, other)


def measure(logits: Float[Array, "b k"], targets: Float[Array, "b k"], weights: Float[Array, " b"]) -> Sums:
    """Sums the metrics of one batch.

    Args:
      logits: Logits of the network.
      targets: Probabilities of the classes. The label is the most probable class, the first of equals: of an image
        mixed from two, the heavier one's.
      weights: 1 for an example, 0 for what fills up a batch.

    Returns:
      The sums over the examples.
    """
    labels, real = jnp.argmax(targets, axis=-1).astype(jnp.int32), weights > 0
    batch = Predictions(
        losses=optax.softmax_cross_entropy(logits, targets) * weights,
        labels=jax.nn.one_hot(labels, logits.shape[1], dtype=jnp.int32) * real[:, None],
        rank=rank(logits, labels),
        real=real,
    )
    return Sums(**{name: term(batch) for name, term in TERMS.items()})


def rank(logits: Float[Array, "b k"], labels: Int32[Array, " b"]) -> Int32[Array, " b"]:
    """Counts the classes that a network puts before the label, without sorting them.

    Args:
      logits: Logits of the network.
      labels: Class numbers.

    Returns:
      Logits greater than the label's, and equal ones of lower class numbers, as `argmax` and `top_k` break ties:
      0 where the label is predicted, less than k where it is among the first k. A label whose logit is not
      a number comes last.
    """
    own = jnp.take_along_axis(logits, labels[:, None], axis=1)
    earlier = jnp.arange(logits.shape[1]) < labels[:, None]
    return jnp.sum(~(logits <= own) | ((logits == own) & earlier), axis=1, dtype=jnp.int32)


def means(sums: Sums, classes: int) -> dict[str, float]:
    """Computes the means over the examples, as Python numbers.

    Args:
      sums: Sums of at least one example.
      classes: Number of classes.

    Returns:
      The metrics of METRICS that have a meaning for so many classes, by name.
    """
    host = jax.tree.map(np.asarray, sums)
    values = {metric.name: metric.value(host, classes) for metric in metrics.METRICS if metric.value is not None}
    return {name: value for name, value in values.items() if value is not None}
