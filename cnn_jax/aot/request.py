"""Request of `compile`, without JAX."""

from __future__ import annotations

import dataclasses

from cnn_jax.aot.topology import Topology


@dataclasses.dataclass(frozen=True)
class CompileRequest:
    """Request of the command line.

    Attributes:
      topology: The chips.
      batch_per_chip: Images; None spreads the config's batches over all chips.
      largest_batch: Whether the largest batch that fits is sought.
      image_shape, classes: Shape of the images and number of classes, where the config does not tell.
    """

    topology: Topology
    batch_per_chip: int | None
    largest_batch: bool
    image_shape: tuple[int, int, int] | None
    classes: int | None
