"""Processes a batch a few images at a time, so that intermediate results stay in the processor's cache."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

_CACHE_BYTES = 20 * 2**20  # values from 12 to 24 MiB are equally fast with 32 MiB of shared cache


def chunk_count(batch: int, bytes_per_image: int) -> int:
    """Returns the smallest number of equal chunks whose working sets fit the cache; at most one chunk per image."""
    images = max(1, _CACHE_BYTES // bytes_per_image)
    return next(count for count in range(math.ceil(batch / images), batch + 1) if batch % count == 0)


def map_chunks(work: Callable[..., tuple[Any, Any]], count: int, *batched: jax.Array) -> tuple[Any, Any]:
    """Applies a function to a batch chunk by chunk.

    A chunk holds every count-th image, so that the chunks of a sharded batch are sharded in the same way.

    Args:
      work: Maps arrays of some images to (arrays per image, sums over these images).
      count: Number of chunks; divides the batch.
      batched: Arrays [b, ...] of all images.

    Returns:
      The result of `work` for the whole batch.
    """
    if count == 1:
        return work(*batched)
    split = [x.reshape(x.shape[0] // count, count, *x.shape[1:]) for x in batched]

    def chunk(i: Any) -> tuple[Any, Any]:
        return work(*(lax.dynamic_index_in_dim(x, i, axis=1, keepdims=False) for x in split))

    def body(i: Any, carry: tuple[Any, Any]) -> tuple[Any, Any]:
        images, sums = chunk(i)
        return (
            jax.tree.map(lambda out, x: lax.dynamic_update_index_in_dim(out, x, i, 1), carry[0], images),
            jax.tree.map(jnp.add, carry[1], sums),
        )

    images, sums = jax.eval_shape(chunk, 0)
    init = (
        jax.tree.map(lambda x: jnp.zeros((x.shape[0], count, *x.shape[1:]), x.dtype), images),
        jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), sums),
    )
    images, sums = lax.fori_loop(0, count, body, init)
    return jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), images), sums
