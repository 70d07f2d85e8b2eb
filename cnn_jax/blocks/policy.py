"""Choices made once for a whole network and passed down to its blocks."""

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
    """min(max(x, 0), 6), with the gradient 0 from 6 on."""
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
    "gelu": jax.nn.gelu,  # by tanh, as JAX has it
    "gelu_exact": functools.partial(jax.nn.gelu, approximate=False),
    "silu": jax.nn.silu,
    "hard_swish": jax.nn.hard_swish,
    "leaky_relu": jax.nn.leaky_relu,
    "elu": jax.nn.elu,
    "identity": lambda x: x,
}


def activate(kind: str, x: Array) -> Array:
    """Applies an activation, a key of ACTIVATIONS, to the output of the layer before it."""
    return emit_activation(kind, ACTIVATIONS[kind](x))


MONOTONIC_ACTIVATIONS = frozenset(
    {"relu", "relu6", "tanh", "scaled_tanh", "sigmoid", "hard_sigmoid", "leaky_relu", "elu", "identity"}
)


def is_in_any(path: tuple[str, ...], layers: Iterable[str]) -> bool:
    """Tells whether a path in the network is that of one of the layers, or of a module inside one."""
    return any(path[: layer.count("/") + 1] == tuple(layer.split("/")) for layer in layers)


# More than ten fields: one for each setting that all networks share in the config.
@dataclasses.dataclass(frozen=True)
class Policy:
    """How the blocks of one network are built.

    Attributes:
      padding: Padding of convolutions whose kernels exceed a pixel.
      activation: A key of ACTIVATIONS.
      norm: "batch", "group", "layer" or "none".
      norm_momentum: Share of the running statistics that a training step keeps.
      norm_eps: Added to the variance.
      norm_groups: Number of channel groups in group norm.
      norm_images: Number of images of a batch whose statistics batch norm takes together; None is all.
      kernel_init: A key of `kernels.SCHEMES`.
      lowering: As `ops.conv2d` takes it.
      dtype: Type of maps and products; parameters and statistics are float32.
      frozen: Paths of layers whose statistics stand still, in training too.
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
        """The policy that a network's config states."""
        shared = {field.name: getattr(config, field.name) for field in dataclasses.fields(cls) if field.name in _SHARED}
        return cls(**shared, dtype=config.compute, frozen=frozen)

    def activate(self, x: Array) -> Array:
        """Applies the activation."""
        return activate(self.activation, x)

    def uses_batch_statistics(self, path: tuple[str, ...], train: bool) -> bool:
        """Tells whether the norm at a path takes its mean and variance from the batch."""
        return train and self.norm == "batch" and not is_in_any(path, self.frozen)


_SHARED = set(Network.model_fields) - {"compute"}
