"""A library's names for the layers of a network."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Mapping
from typing import Literal

from cnn_jax.config.networks import Network

Layer = tuple[str, ...]
# How a library keeps an array where it differs from ours: weights of a dense layer as a convolution's, those of a 1x1
# convolution as a dense layer's, or a factor of each map with two axes of one place after it.
Kept = Literal["conv", "dense", "factors"]


@dataclasses.dataclass(frozen=True)
class Names:
    """A library's names for the layers of a network.

    Attributes:
      library: Name of the library.
      layer: Function of the network's config and a layer's path in our variables that gives the library's name; None
        where it has no such layer.
      first: Our name of the layer that reads the image.
      kept: How the library keeps the arrays of some layers, by the last part of their paths.
      renamed: Patterns of names that older files have, and what takes their place.
    """

    library: str
    layer: Callable[[Network, Layer], str | None]
    first: str = "stem"
    kept: Mapping[str, Kept] = dataclasses.field(default_factory=dict)
    renamed: tuple[tuple[str, str], ...] = ()

    def today(self, name: str) -> str:
        """The name that newer files have in place of an older file's."""
        for pattern, replacement in self.renamed:
            name = re.sub(pattern, replacement, name)
        return name
