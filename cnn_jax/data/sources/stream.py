"""Batches of examples, read and decoded while the device computes.

A step's batch is a function of the data, the config, the seed and the step, and of nothing else: worker
processes and Grain's threads each make whole steps, and whichever makes one makes the same pixels. So nothing about the
reading needs to be in a checkpoint but the number of the next step, and `Stream.at` begins at any step at once, for any
number of them. Of several processes of a run each makes the rows of the batch that are its own.

- Every epoch takes all examples once, in an order drawn from the seed and the epoch; the last batch is filled up
  with the order's first examples, at weight 0, as `cnn_jax.data.device.pipeline` does for data on the device.
- What happens to a picture is drawn from the seed, the epoch and the picture's number.
- Evaluation takes the pictures as they lie, filled up likewise, and begins again after the last: it can be kept open
  over the epochs of a training.

Nothing here touches a device, which workers must not; `cnn_jax.data.device.device_feed` takes the batches on to them.
"""

from __future__ import annotations

import dataclasses
import math
import sys

import grain
import numpy as np
from absl import flags
from jaxtyping import Int, Int32

from cnn_jax.data.errors import DataError, UnreadableRecordError
from cnn_jax.data.host.crops import View
from cnn_jax.data.host.host_batch import BatchLayout, HostBatch
from cnn_jax.data.host.picture import UnreadablePictureError
from cnn_jax.data.host.worker_processes import AHEAD, WorkerBatches
from cnn_jax.data.sources import epoch_order, memory
from cnn_jax.data.sources.examples import Examples, PixelStatistics
from cnn_jax.data.split import Split

_PICTURE = 1  # what a random draw is for: the second entry of its generator's seed; the orders of epochs have 0
_MEASURED, _MEASURED_AT_ONCE = 10_000, 256  # images


@dataclasses.dataclass(frozen=True)
class Share:
    """Which rows of every batch are this process's.

    Attributes:
      index: Number of the process; `jax.process_index()`.
      count: Number of processes; `jax.process_count()`.
    """

    index: int = 0
    count: int = 1


_ALONE = Share()


@dataclasses.dataclass(frozen=True)
class Stream:
    """The batches of one split.

    Attributes:
      records: Examples that it reads from.
      numbers: Numbers of the records that are in it; None for all.
      view: Resizing and cropping of each picture.
      statistics: Statistics of the training pixels; None where they are computed when they are wanted.
      seed: Seed of the experiment.
      shuffled: Whether every epoch has an order of its own, or the records' always.
      workers: Processes that make the batches; 0 makes them in the caller's.
      threads: Threads that make batches in each of these processes.
      batch_size: Batch size of all processes together.
      share: This process's part of each batch.
    """

    records: Examples
    numbers: Int[np.ndarray, " n"] | None
    view: View
    statistics: PixelStatistics | None
    seed: int
    shuffled: bool
    workers: int
    threads: int = 1
    batch_size: int = 1
    share: Share = _ALONE

    def __post_init__(self) -> None:
        if self.batch_size % self.share.count:
            raise DataError(f"a batch of {self.batch_size} does not divide over {self.share.count} processes")

    def __len__(self) -> int:
        """The examples of an epoch."""
        return len(self.records) if self.numbers is None else len(self.numbers)

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(height, width, channels) in pixels."""
        return self.view.image_shape

    @property
    def dtype(self) -> str:
        """Type of the pixels, "uint8" or "float32"."""
        return self.view.dtype

    def pixel_statistics(self) -> PixelStatistics:
        """Gives the statistics of the training pixels.

        Where none came with the data they are those of the images as a training sees them, of up to 10,000 evenly
        spaced ones, whatever the experiment's seed.
        """
        if self.statistics is not None:
            return self.statistics
        chosen = _evenly_spaced(len(self), _MEASURED)
        parts = np.split(chosen, range(_MEASURED_AT_ONCE, len(chosen), _MEASURED_AT_ONCE))
        stream = dataclasses.replace(self, seed=0)
        return PixelStatistics.of(stream._read(part).images.reshape(-1, self.image_shape[-1]) for part in parts)

    def in_batches(self, batch_size: int, share: Share = _ALONE) -> Stream:
        """The same stream in other batches; the arguments are the attributes.

        Raises:
          DataError: where the batches that are ahead of the step do not fit into the memory that is left.
        """
        made_here = 2 * self.threads * (self.threads > 1) + 2  # of which two are on their way to the devices
        batches = self.workers * (AHEAD + 2 * self.threads * (self.threads > 1)) + made_here
        memory.require(
            batches * (batch_size // share.count) * math.prod(self.image_shape) * np.dtype(self.dtype).itemsize,
            f"config.data: {batches} batches of {batch_size // share.count:,} images ahead of the step",
            "lower the batch size, config.data.workers, config.data.threads or config.data.image_size",
        )
        return dataclasses.replace(self, batch_size=batch_size, share=share)

    def some(self, count: int) -> Split:
        """Evenly spaced examples, or all where there are fewer, read into memory here and now."""
        batch = self._read(_evenly_spaced(len(self), count))
        return Split(batch.images, batch.labels)

    def _read(self, chosen: Int[np.ndarray, " n"]) -> HostBatch:
        """Reads the examples at these places as one batch."""
        numbers = chosen if self.numbers is None else self.numbers[chosen]
        return dataclasses.replace(self, numbers=numbers, batch_size=len(numbers), share=_ALONE).batch(0)

    @property
    def steps_per_epoch(self) -> int:
        """Batches that take in every example once, the last of them perhaps filled up."""
        return -(-len(self) // self.batch_size)

    def at(self, step: int) -> grain.IterDataset[HostBatch]:
        """All batches from a step on, without end.

        Args:
          step: From 0 on, over all epochs.

        Returns:
          What `iter` makes an iterator of; `close` ends the iterator's workers. Each of these is two batches ahead, and
          so is each of several threads.
        """
        if not self.workers:
            return self._made_here(step, 1)
        layout = BatchLayout(self.batch_size // self.share.count, self.image_shape, self.dtype)
        return WorkerBatches(self._made_here, layout, step, self.workers)

    def _made_here(self, step: int, stride: int) -> grain.IterDataset[HostBatch]:
        """The batches of the steps `step`, `step + stride`, ..., made by threads of this process."""
        # Grain has flags of its own, and looks at them even where the program is none that parses absl's.
        if not flags.FLAGS.is_parsed():
            flags.FLAGS.mark_as_parsed()
        steps = grain.MapDataset.range(step, sys.maxsize, stride).map(self.batch)
        threads = self.threads if self.threads > 1 else 0  # 0 is the thread that asks
        return steps.to_iter_dataset(grain.ReadOptions(num_threads=threads, prefetch_buffer_size=2 * threads))

    def batch(self, step: int) -> HostBatch:
        """This process's rows of one step's batch, made here and now."""
        epoch, place = divmod(step, self.steps_per_epoch)
        rows = self.batch_size // self.share.count
        start = place * self.batch_size + self.share.index * rows
        positions = np.arange(start, start + rows)
        chosen = self._chosen(epoch, positions % len(self))
        images = np.empty((rows, *self.image_shape), self.dtype)
        labels = np.empty(rows, np.int32)
        # One after the other: ArrayRecord's threads, which read many at once, take more time than they save.
        for row, number in enumerate(chosen):
            record = self.records[number]
            draws = np.random.default_rng((self.seed, _PICTURE, epoch, number))
            try:
                images[row] = self.view(record.picture, draws)
            except UnreadablePictureError as error:
                raise UnreadableRecordError(f"{self.records.place(number)} cannot be decoded: {error}") from error
            labels[row] = record.label
        return HostBatch(images, labels, (positions < len(self)).astype(np.float32))

    def _chosen(self, epoch: int, positions: Int[np.ndarray, " b"]) -> list[int]:
        """The records at these places of an epoch's order."""
        if self.shuffled:
            positions = self._order(epoch)[positions]
        numbers = positions if self.numbers is None else self.numbers[positions]
        return [int(number) for number in numbers]

    def _order(self, epoch: int) -> Int32[np.ndarray, " n"]:
        groups = self.records.groups()
        if groups is None:
            return epoch_order.shuffled(self.seed, epoch, len(self))
        return epoch_order.shuffled_in_groups(self.seed, epoch, epoch_order.Groups(groups, self.numbers))


def _evenly_spaced(examples: int, count: int) -> Int[np.ndarray, " n"]:
    return np.arange(examples) if count >= examples else np.arange(count) * examples // count
