"""Settings that all blocks of a network share."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterable

import jax
import jax.numpy as jnp
from jaxtyping import Array

from cnn_jax import ops
from cnn_jax.config.networks import Network
from cnn_jax.layer_rows import emit_activation
from cnn_jax.ops.padding import Padding


def _relu6(x: Array) -> Array:
    """Computes min(max(x, 0), 6); the gradient at 6 is 0."""
    y = ops.relu(x)
    return jnp.where(y < 6, y, jnp.asarray(6, y.dtype))


ACTIVATIONS: dict[str, Callable[[Array], Array]] = {
    "relu": ops.relu,
    "relu6": _relu6,
    "tanh": jnp.tanh,
    # LeCun et al., 1998, appendix A: f(±1) = ±1, so that targets of ±1 lie away from the saturated ends.
    "scaled_tanh": lambda x: 1.7159 * jnp.tanh(2 / 3 * x),
    "sigmoid": jax.nn.sigmoid,
    "hard_sigmoid": jax.nn.hard_sigmoid,
    "gelu": jax.nn.gelu,  # tanh approximation, JAX's default
    "gelu_exact": functools.partial(jax.nn.gelu, approximate=False),
    "silu": jax.nn.silu,
    "hard_swish": jax.nn.hard_swish,
    "leaky_relu": jax.nn.leaky_relu,
    "elu": jax.nn.elu,
    "identity": lambda x: x,
}


def activate(kind: str, x: Array) -> Array:
    """Applies an activation, a key of ACTIVATIONS, and records it with the layer before it."""
    return emit_activation(kind, ACTIVATIONS[kind](x))


MONOTONIC_ACTIVATIONS = frozenset(
    {"relu", "relu6", "tanh", "scaled_tanh", "sigmoid", "hard_sigmoid", "leaky_relu", "elu", "identity"}
)


def is_in_any(path: tuple[str, ...], layers: Iterable[str]) -> bool:
    """Returns whether a path in the network is one of the layers or inside one of them."""
    return any(path[: layer.count("/") + 1] == tuple(layer.split("/")) for layer in layers)


# More than ten fields: one for each setting that all networks share in the config.
@dataclasses.dataclass(frozen=True)
class Policy:
    """Settings that all blocks of a network share.

    Attributes:
      padding: Padding of convolutions with kernels larger than 1x1.
      activation: A key of ACTIVATIONS.
      norm: "batch", "group", "layer" or "none".
      norm_momentum: Decay of the running statistics per training step.
      norm_eps: Added to the variance for numerical stability.
      norm_groups: Number of channel groups in group norm.
      norm_images: Number of images over which batch norm computes its statistics; None is the whole batch.
      kernel_init: A key of `kernels.SCHEMES`.
      lowering: As for `ops.conv2d`.
      dtype: Type of maps and products; parameters and statistics are float32.
      frozen: Paths of layers whose running statistics do not change in training.
    """

    padding: Padding = "SAME"
    activation: str = "relu"
    norm: str = "none"
    norm_momentum: float = 0.9
    norm_eps: float = 1e-5
    norm_groups: int = 8
    norm_images: int | None = None
    kernel_init: str = "glorot_uniform"
    lowering: ops.Lowering = "auto"
    dtype: str = "float32"
    frozen: tuple[str, ...] = ()

    @classmethod
    def of(cls, config: Network, frozen: tuple[str, ...] = ()) -> Policy:
        """Creates the policy of a network's config."""
        shared = {field.name: getattr(config, field.name) for field in dataclasses.fields(cls) if field.name in _SHARED}
        return cls(**shared, dtype=config.compute, frozen=frozen)

    def activate(self, x: Array) -> Array:
        """Applies the policy's activation."""
        return activate(self.activation, x)

    def uses_batch_statistics(self, path: tuple[str, ...], train: bool) -> bool:
        """Returns whether the norm at a path uses the statistics of the batch."""
        return train and self.norm == "batch" and not is_in_any(path, self.frozen)


_SHARED = set(Network.model_fields) - {"compute"}
