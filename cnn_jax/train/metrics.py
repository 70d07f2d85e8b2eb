"""Metrics as sums over examples, so that batches of any size count exactly."""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int32


class Sums(NamedTuple):
    """What a number of examples adds up to.

    Attributes:
      loss: cross-entropy in nats, without label smoothing.
      correct: examples whose largest logit is their label's.
      examples: how many.
    """

    loss: Float[Array, ""]
    correct: Int32[Array, ""]
    examples: Int32[Array, ""]

    @classmethod
    def zero(cls) -> Sums:
        return cls(jnp.zeros((), jnp.float32), jnp.zeros((), jnp.int32), jnp.zeros((), jnp.int32))

    def __add__(self, other: Sums) -> Sums:  # type: ignore[override]  # sums add up, they do not concatenate
        return Sums(self.loss + other.loss, self.correct + other.correct, self.examples + other.examples)


def measure(logits: Float[Array, "b k"], labels: Int32[Array, " b"], weights: Float[Array, " b"]) -> Sums:
    """Sums the metrics of one batch.

    Args:
      logits: of the network.
      labels: class numbers.
      weights: 1 for an example, 0 for filling.

    Returns:
      The sums over the examples.
    """
    losses = optax.softmax_cross_entropy_with_integer_labels(logits, labels)
    real = weights > 0
    right = (jnp.argmax(logits, axis=-1) == labels) & real
    return Sums(jnp.sum(losses * weights), jnp.sum(right, dtype=jnp.int32), jnp.sum(real, dtype=jnp.int32))


def means(sums: Sums) -> dict[str, float]:
    """Loss and accuracy per example, as Python numbers."""
    examples = int(sums.examples)
    return {"loss": float(sums.loss) / examples, "accuracy": int(sums.correct) / examples}
