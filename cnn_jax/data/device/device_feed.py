"""Batches of the host on their way to the devices, while these compute."""

from __future__ import annotations

import jax
from grain.experimental import ThreadPrefetchIterDataset

from cnn_jax.data.sources.stream import HostBatch, Stream

Arrays = tuple[jax.Array, jax.Array, jax.Array]  # images, labels, weights

_AHEAD = 2  # batches that lie ready on the devices, beside the one in use


class DeviceFeed:
    """A stream's batches as device arrays, some ahead of the step; a context that ends the stream's workers.

    A thread takes batches from the workers and puts them on the devices, so that neither the waiting nor the transfer
    is in the step's time. A fault of the stream is raised where its batch would have come.
    """

    def __init__(self, stream: Stream, step: int, sharding: jax.sharding.Sharding):
        """Starts the stream's workers at the first batch.

        Args:
          stream: Stream of this process's rows.
          step: The first.
          sharding: Sharding of [batch, ...] over the devices of all processes.
        """

        def put(batch: HostBatch) -> Arrays:
            images, labels, weights = (jax.make_array_from_process_local_data(sharding, array) for array in batch)
            return images, labels, weights

        self._batches = iter(ThreadPrefetchIterDataset(stream.at(step).map(put), prefetch_buffer_size=_AHEAD))

    def __iter__(self) -> DeviceFeed:
        return self

    def __next__(self) -> Arrays:
        """Gives the images, labels and weights of the next batch."""
        return next(self._batches)

    def __enter__(self) -> DeviceFeed:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Ends the stream's workers."""
        self._batches.close()
