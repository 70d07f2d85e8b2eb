"""Layer table of a network: shapes, parameters, multiply-adds and receptive fields for one image size."""

from __future__ import annotations

import dataclasses
import functools

from cnn_jax import models
from cnn_jax.config import Model as ModelConfig
from cnn_jax.geometry import nearest
from cnn_jax.geometry.receptive_field import LayerGeometry, locate
from cnn_jax.layer_rows import IMAGE, LayerRow
from cnn_jax.ops import GeometryError


@dataclasses.dataclass(frozen=True)
class Summary:
    """Layer table of a network.

    Attributes:
      image_shape: (height, width, channels) of an image in pixels.
      layers: Rows in the order of computation.
    """

    image_shape: tuple[int, int, int]
    layers: tuple[LayerGeometry, ...]

    @property
    def parameters(self) -> int:
        """Number of parameters of all layers."""
        return sum(row.parameters for row in self.layers)

    @property
    def auxiliary_parameters(self) -> int:
        """Number of parameters of auxiliary classifiers, which the logits do not depend on."""
        needed, pending = set(), {len(self.layers) - 1}
        while pending:
            number = pending.pop()
            needed.add(number)
            pending |= set(self.layers[number].sources) - needed - {IMAGE}
        return sum(row.parameters for number, row in enumerate(self.layers) if number not in needed)

    @property
    def multiply_adds(self) -> int:
        """Number of multiply-adds in the forward pass of one image."""
        return sum(row.multiply_adds for row in self.layers)

    @property
    def training_flop(self) -> int:
        """Floating-point operations to train on one image, of convolutions and dense layers only.

        The gradients with respect to a layer's kernel and to its input each cost as much as its forward pass. The first
        layer needs no gradient with respect to its input, the image.
        """
        first = next((row.multiply_adds for row in self.layers if row.multiply_adds), 0)
        return 2 * (3 * self.multiply_adds - first)


@functools.lru_cache(maxsize=64)
def summarize(model_config: ModelConfig, image_shape: tuple[int, int, int], num_classes: int) -> Summary:
    """Computes the layer table of a network by tracing, without running or compiling it.

    Args:
      model_config: Config of one architecture.
      image_shape: (height, width, channels) of an image in pixels.
      num_classes: Width of the logits.

    Returns:
      The layer table.

    Raises:
      GeometryError: If a layer does not fit its input; the message names the layer, its input, the rule and the
        nearest settings that work.
    """

    def trace(config: ModelConfig, shape: tuple[int, int, int]) -> tuple[LayerRow, ...]:
        return models.create(config, num_classes).layers(shape)

    try:
        return Summary(image_shape, locate(trace(model_config, image_shape), image_shape))
    except GeometryError as error:
        proposals = nearest.suggest_fixes(model_config, image_shape, trace)
        raise GeometryError(
            f"config.model: {error}" + "".join(f"\n  this works: {proposal}" for proposal in proposals)
        ) from error
