"""Work on a batch a few images at a time, so that what lies between input and output stays in the processor's cache."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

_CACHE_BYTES = 20 * 2**20  # between 12 and 24 MiB do alike with 32 MiB of shared cache


def chunk_count(batch: int, bytes_per_image: int) -> int:
    """The least number of even parts of a batch whose working set fits the cache; at most one for each image."""
    images = max(1, _CACHE_BYTES // bytes_per_image)
    return next(count for count in range(math.ceil(batch / images), batch + 1) if batch % count == 0)


def map_chunks(work: Callable[..., tuple[Any, Any]], count: int, *batched: jax.Array) -> tuple[Any, Any]:
    """Applies a function to a batch in parts, one after the other.

    A part holds every count-th image, so that parts of a batch that is split over devices are split alike.

    Args:
      work: Takes arrays of some images; gives (arrays of these images, sums over these images).
      count: Number of parts; divides the batch.
      batched: Arrays [b, ...] of all images.

    Returns:
      What `work` would give for all images at once.
    """
    if count == 1:
        return work(*batched)
    split = [each.reshape(each.shape[0] // count, count, *each.shape[1:]) for each in batched]

    def part(number: Any) -> tuple[Any, Any]:
        return work(*(lax.dynamic_index_in_dim(each, number, axis=1, keepdims=False) for each in split))

    def body(number: Any, done: tuple[Any, Any]) -> tuple[Any, Any]:
        images, sums = part(number)
        return (
            jax.tree.map(lambda all_, some: lax.dynamic_update_index_in_dim(all_, some, number, 1), done[0], images),
            jax.tree.map(jnp.add, done[1], sums),
        )

    images, sums = jax.eval_shape(part, 0)
    start = (
        jax.tree.map(lambda some: jnp.zeros((some.shape[0], count, *some.shape[1:]), some.dtype), images),
        jax.tree.map(lambda some: jnp.zeros(some.shape, some.dtype), sums),
    )
    images, sums = lax.fori_loop(0, count, body, start)
    return jax.tree.map(lambda all_: all_.reshape(-1, *all_.shape[2:]), images), sums
