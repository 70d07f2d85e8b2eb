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
    """Inputs of the metrics for one batch.

    Attributes:
      losses: Cross-entropy of each example in nats, without label smoothing; 0 for padding of the batch.
      labels: One-hot labels; zeros for padding.
      rank: Rank of each label from 0, as computed by `rank`.
      real: True for examples, False for padding.
    """

    losses: Float[Array, " b"]
    labels: Int32[Array, "b k"]
    rank: Int32[Array, " b"]
    real: Bool[Array, " b"]


# Sums over the examples, from which `run/metrics.py` computes the metrics.
TERMS: dict[str, Callable[[Predictions], Array]] = {
    "loss": lambda batch: jnp.sum(batch.losses),
    "correct": lambda batch: jnp.sum((batch.rank < 1) & batch.real, dtype=jnp.int32),
    "correct_top5": lambda batch: jnp.sum((batch.rank < 5) & batch.real, dtype=jnp.int32),
    "examples": lambda batch: jnp.sum(batch.real, dtype=jnp.int32),
}


class Sums(collections.namedtuple("Sums", TERMS)):  # type: ignore[misc]  # its fields are the terms
    """Sums over examples, one field for each of TERMS."""

    __slots__ = ()

    @classmethod
    def zero(cls, classes: int) -> Sums:
        """Returns the sums over no examples."""
        logits, weights = (jax.ShapeDtypeStruct(shape, jnp.float32) for shape in ((1, classes), (1,)))
        shapes = jax.eval_shape(measure, logits, logits, weights)
        zeros: Sums = jax.tree.map(lambda term: jnp.zeros(term.shape, term.dtype), shapes)
        return zeros

    def __add__(self, other: Sums) -> Sums:  # type: ignore[override]  # sums add up, they do not concatenate
        return jax.tree.map(jnp.add, self, other)


def measure(logits: Float[Array, "b k"], targets: Float[Array, "b k"], weights: Float[Array, " b"]) -> Sums:
    """Computes the sums of one batch.

    Args:
      logits: Logits of the network.
      targets: Probabilities of the classes. The label is the first of the most probable classes; for an image mixed
        from two, that of the larger share.
      weights: 1 for an example, 0 for padding of the batch.
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
    """Computes the rank of each label among the logits, without sorting.

    Args:
      logits: Logits of the network.
      labels: Class numbers.

    Returns:
      The number of greater logits, plus equal logits of lower class numbers, as `argmax` and `top_k` break ties: 0 if
      the label is predicted, below k if it is in the top k. A label with a NaN logit ranks last.
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
      The metrics of METRICS that are defined for this number of classes, by name.
    """
    host = jax.tree.map(np.asarray, sums)
    values = {metric.name: metric.value(host, classes) for metric in metrics.METRICS if metric.value is not None}
    return {name: value for name, value in values.items() if value is not None}
