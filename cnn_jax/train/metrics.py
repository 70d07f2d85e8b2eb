"""Metrics as sums over examples, so that batches of any size count exactly."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int32


class Sums(NamedTuple):
    """Sums of the metrics over examples.

    Attributes:
      loss: Cross-entropy in nats, without label smoothing.
      correct: Examples whose largest logit is their label's.
      correct_top5: Examples whose label's logit is among the five largest.
      examples: Number of examples.
    """

    loss: Float[Array, ""]
    correct: Int32[Array, ""]
    correct_top5: Int32[Array, ""]
    examples: Int32[Array, ""]

    @classmethod
    def zero(cls) -> Sums:
        return cls(jnp.zeros((), jnp.float32), *(jnp.zeros((), jnp.int32) for _ in range(3)))

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
    losses = optax.softmax_cross_entropy(logits, targets)
    before = rank(logits, jnp.argmax(targets, axis=-1).astype(jnp.int32))
    real = weights > 0
    correct, correct_top5, examples = (
        jnp.sum(counted, dtype=jnp.int32) for counted in ((before < 1) & real, (before < 5) & real, real)
    )
    return Sums(jnp.sum(losses * weights), correct, correct_top5, examples)


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
      loss, accuracy, top1_error, which is what accuracy leaves of 1, and top5_error, the share of examples whose label
      is not among the five likeliest classes; with five classes or fewer it would always be 0, and is left out.
    """
    examples, correct = int(sums.examples), int(sums.correct)
    values = {
        "loss": float(sums.loss) / examples,
        "accuracy": correct / examples,
        "top1_error": (examples - correct) / examples,
    }
    if classes > 5:
        values["top5_error"] = (examples - int(sums.correct_top5)) / examples
    return values
