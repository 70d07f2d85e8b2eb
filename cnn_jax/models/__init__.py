"""The registry of networks, and all that training knows of one: `init` and `apply`."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from cnn_jax.blocks import Policy
from cnn_jax.blocks.kernels import Draws, drawing, standard_numbers
from cnn_jax.config import Model as ModelConfig
from cnn_jax.layer_rows import LayerRow, trace_layers
from cnn_jax.models.alexnet import AlexNetModule
from cnn_jax.models.cnn import CnnModule
from cnn_jax.models.googlenet import GoogLeNetModule
from cnn_jax.models.lenet5 import LeNet5Module
from cnn_jax.models.resnet import CifarResNetModule, ResNetModule

Variables = Mapping[str, Any]

REGISTRY: dict[str, type[nn.Module]] = {
    "cnn": CnnModule,
    "lenet5": LeNet5Module,
    "alexnet": AlexNetModule,
    "alexnet_torchvision": AlexNetModule,
    "googlenet": GoogLeNetModule,
    "googlenet_torchvision": GoogLeNetModule,
    "resnet": ResNetModule,
    "resnet_cifar": CifarResNetModule,
}


def _first_variables(
    module: nn.Module, image_shape: tuple[int, int, int], key: PRNGKeyArray, draws: Draws
) -> Variables:
    with drawing(draws):
        variables: Variables = module.init({"params": key, "dropout": key}, jnp.zeros((1, *image_shape)), train=False)
    return variables


@functools.partial(jax.jit, static_argnums=(0, 1))
def _compiled_first_variables(
    module: nn.Module, image_shape: tuple[int, int, int], key: PRNGKeyArray, numbers: Array
) -> Variables:
    """One program in place of one for every operation, which would cost seconds and half a gigabyte for a ResNet-50."""
    return _first_variables(module, image_shape, key, Draws(numbers))


@dataclasses.dataclass(frozen=True)
class Model:
    """A network as pure functions of its variables."""

    module: nn.Module

    def init(self, key: PRNGKeyArray, image_shape: tuple[int, int, int]) -> Variables:
        """Draws initial variables.

        Args:
          key: for the initial weights.
          image_shape: (height, width, channels) in pixels.

        Returns:
          {"params": ..., and "batch_stats": ... where the network normalises by batch}.

        Raises:
          GeometryError: where the image is too small for a layer, named in the message.
        """
        counted = Draws()
        jax.eval_shape(lambda: _first_variables(self.module, image_shape, key, counted))
        numbers = standard_numbers(self.module.policy.kernel_init, key, counted.taken)
        return _compiled_first_variables(self.module, image_shape, key, numbers)

    def apply(
        self, variables: Variables, images: Float[Array, "b h w c"], train: bool, key: PRNGKeyArray | None = None
    ) -> tuple[Float[Array, "b k"], tuple[Float[Array, "b k"], ...], Variables]:
        """Classifies images.

        Args:
          variables: as `init` gives them.
          images: normalised pixels.
          train: whether dropout and batch statistics are those of training.
          key: for dropout; needed in training.

        Returns:
          (logits, auxiliary logits, new batch statistics).
        """
        rngs = {} if key is None else {"dropout": key}
        (logits, aux_logits), updates = self.module.apply(variables, images, train, rngs=rngs, mutable=["batch_stats"])
        return logits, aux_logits, updates.get("batch_stats", {})

    def layers(self, image_shape: tuple[int, int, int]) -> tuple[LayerRow, ...]:
        """The rows of the layer table, in the order of computation; nothing is computed.

        Raises:
          GeometryError: as for `init`.
        """
        images = jax.ShapeDtypeStruct((1, *image_shape), jnp.float32)
        keys = {"params": jax.random.key(0), "dropout": jax.random.key(0)}
        with trace_layers() as rows, drawing(Draws()):
            jax.eval_shape(functools.partial(self.module.init, keys, train=False), images)
        return tuple(rows)


def create(config: ModelConfig, num_classes: int, frozen: tuple[str, ...] = ()) -> Model:
    """Builds the network that a config names.

    Args:
      config: of one architecture, told by its `name`.
      num_classes: width of the logits.
      frozen: paths of layers whose batch statistics stand still in training.

    Returns:
      The network.

    Raises:
      ValueError: for a name that is not in the registry.
    """
    if config.name not in REGISTRY:
        raise ValueError(f"model {config.name!r}: expected one of: {', '.join(sorted(REGISTRY))}")
    policy = Policy.of(config, frozen)
    return Model(REGISTRY[config.name](config=config, num_classes=num_classes, policy=policy))
