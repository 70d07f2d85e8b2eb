"""The layer table of a network on images of one size: shapes, parameters, multiply-adds, receptive fields."""

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
    """All layers of a network.

    Attributes:
      image_shape: (height, width, channels) of an image in pixels.
      layers: Rows in the order of computation.
    """

    image_shape: tuple[int, int, int]
    layers: tuple[LayerGeometry, ...]

    @property
    def parameters(self) -> int:
        """Parameters of all layers."""
        return sum(row.parameters for row in self.layers)

    @property
    def auxiliary_parameters(self) -> int:
        """Parameters that the logits do not depend on: those of auxiliary classifiers, which only run in training."""
        needed, open_ = set(), {len(self.layers) - 1}
        while open_:
            number = open_.pop()
            needed.add(number)
            open_ |= set(self.layers[number].sources) - needed - {IMAGE}
        return sum(row.parameters for number, row in enumerate(self.layers) if number not in needed)

    @property
    def multiply_adds(self) -> int:
        """Multiply-adds of all layers in the forward pass of one image."""
        return sum(row.multiply_adds for row in self.layers)

    @property
    def training_flop(self) -> int:
        """Multiplications and additions of one training image.

        A layer's gradients by its kernel and by its input cost as much as its forward pass each; the first layer's
        input, the image, needs no gradient. Only convolutions and dense layers count.
        """
        first = next((row.multiply_adds for row in self.layers if row.multiply_adds), 0)
        return 2 * (3 * self.multiply_adds - first)


@functools.lru_cache(maxsize=64)
def summarize(model_config: ModelConfig, image_shape: tuple[int, int, int], num_classes: int) -> Summary:
    """Works out every layer's geometry; nothing is computed or compiled.

    Args:
      model_config: Config of one architecture.
      image_shape: (height, width, channels) of an image in pixels.
      num_classes: Width of the logits.

    Returns:
      The layers.

    Raises:
      GeometryError: Where a layer cannot work on its input; names the layer, its input, the rule and the
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
