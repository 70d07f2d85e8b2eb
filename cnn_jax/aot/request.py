"""Parsed flags of `compile`, without JAX."""

from __future__ import annotations

import dataclasses

from cnn_jax.aot.topology import Topology


@dataclasses.dataclass(frozen=True)
class CompileRequest:
    """Parsed flags of `compile`.

    Attributes:
      topology: The chips.
      batch_per_chip: Images per chip; None divides the config's batches among all chips.
      largest_batch: Whether to find the largest batch that fits.
      image_shape, classes: Shape of the images and number of classes, if the config does not define them.
    """

    topology: Topology
    batch_per_chip: int | None
    largest_batch: bool
    image_shape: tuple[int, int, int] | None
    classes: int | None
