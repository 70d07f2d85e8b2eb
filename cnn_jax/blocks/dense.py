"""Dense layers and the heads that map features to logits."""

from __future__ import annotations

import dataclasses
import math

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Float32

from cnn_jax import ops
from cnn_jax.blocks.conv import ConvBlock
from cnn_jax.blocks.digit_pictures import DIGITS
from cnn_jax.blocks.kernels import KernelModule
from cnn_jax.blocks.norm import Norm
from cnn_jax.blocks.policy import Policy
from cnn_jax.layer_rows import LayerRow, check_kernel_size, emit, naming
from cnn_jax.ops import GeometryError


class Flatten(nn.Module):
    """Flattens each image's feature maps into a vector."""

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b n"]:
        y = x.reshape(x.shape[0], math.prod(x.shape[1:]))
        return emit(LayerRow("/".join(self.path), "flatten", x.shape[1:], y.shape[1:]), y)


class Dense(KernelModule):
    """Fully connected layer with float32 sums; `kernel_init` overrides the policy's."""

    features: int
    policy: Policy
    kernel_init: str | None = None

    @nn.compact
    def __call__(self, x: Float[Array, "b n"]) -> Float[Array, "b m"]:
        name, shape, dtype = "/".join(self.path), (x.shape[-1], self.features), self.policy.dtype
        with naming(name, x.shape[1:]):
            check_kernel_size(shape)
        kernel = self.param("kernel", self.initial_kernel, shape, self.kernel_init or self.policy.kernel_init).astype(
            dtype
        )
        bias = self.param("bias", nn.initializers.zeros, (self.features,))
        weights = math.prod(shape)
        y = jnp.matmul(x.astype(dtype), kernel, preferred_element_type=jnp.float32) + bias
        return emit(LayerRow(name, "dense", x.shape[1:], shape[1:], weights + self.features, weights), y)


class Dropout(nn.Module):
    """Dropout that records its row of the layer table."""

    rate: float

    @nn.compact
    def __call__(self, x: Float[Array, "b ..."], train: bool) -> Float[Array, "b ..."]:
        y = nn.Dropout(self.rate, deterministic=not train, name="mask")(x)
        return emit(LayerRow("/".join(self.path), "dropout", x.shape[1:], x.shape[1:]), y)


class DenseHead(nn.Module):
    """Flattening, hidden dense layers with activation and dropout, then the logits.

    Attributes:
      hidden: Widths of the hidden layers.
      num_classes: Width of the logits; None ends with the hidden layers.
      policy: The network's policy.
      dropout: Dropout rate.
      dropout_on: Values to drop: the hidden layers' "outputs" or "inputs". With "inputs", the logits' inputs are kept.
    """

    hidden: tuple[int, ...]
    num_classes: int | None
    policy: Policy
    dropout: float = 0.0
    dropout_on: str = "outputs"

    @nn.compact
    def __call__(self, x: Float[Array, "b ..."], train: bool) -> Float[Array, "b k"]:
        flat: Array = Flatten(name="flatten")(x) if x.ndim == 4 else x
        for number, width in enumerate(self.hidden, start=1):
            if self.dropout and self.dropout_on == "inputs":
                flat = Dropout(self.dropout, name=f"dropout{number}")(flat, train)
            flat = self.policy.activate(Dense(width, self.policy, name=f"dense{number}")(flat))
            if self.dropout and self.dropout_on == "outputs":
                flat = Dropout(self.dropout, name=f"dropout{number}")(flat, train)
        return flat if self.num_classes is None else Dense(self.num_classes, self.policy, name="logits")(flat)


class GlobalHead(nn.Module):
    """Global average pooling, norm, hidden dense layers with activation, dropout, and the logits.

    Attributes:
      num_classes: Width of the logits.
      policy: The network's policy.
      dropout: Dropout rate of the logits' inputs.
      hidden: Widths of the hidden layers.
      norm: Whether to normalize the pooled values, if the policy has a norm.
    """

    num_classes: int
    policy: Policy
    dropout: float = 0.0
    hidden: tuple[int, ...] = ()
    norm: bool = False

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"], train: bool) -> Float[Array, "b k"]:
        pool = LayerRow("/".join((*self.path, "pool")), "global_avg_pool", x.shape[1:], x.shape[3:])
        values = emit(pool, ops.global_avg_pool(x.astype(jnp.float32)))
        if self.norm and self.policy.norm != "none":
            values = Flatten(name="flatten")(Norm(self.policy, name="norm")(values[:, None, None], train))
        for number, width in enumerate(self.hidden, start=1):
            values = self.policy.activate(Dense(width, self.policy, name=f"dense{number}")(values))
        if self.dropout:
            values = Dropout(self.dropout, name="dropout")(values, train)
        # A fan-out scheme such as he_fan_out would give a head with few classes weights so large that training starts
        # at a loss of about 15.
        return Dense(self.num_classes, self.policy, "lecun_normal", name="logits")(values)


class ConvHead(nn.Module):
    """Dropout, a 1x1 convolution to one map per class, an activation, and global average pooling.

    Attributes:
      num_classes: Width of the logits.
      policy: The network's policy.
      dropout: Dropout rate of the convolution's inputs.
      activation: Activation of the maps, a key of ACTIVATIONS.

    Source: Iandola et al., "SqueezeNet", 2016, section 3.3; Lin, Chen and Yan, "Network in network", 2014, section 3.2.
    """

    num_classes: int
    policy: Policy
    dropout: float = 0.0
    activation: str = "relu"

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"], train: bool) -> Float[Array, "b k"]:
        if self.dropout:
            x = Dropout(self.dropout, name="dropout")(x, train)
        # Small weights as in torchvision: the logits start close to zero, with both signs.
        policy = dataclasses.replace(self.policy, activation=self.activation, kernel_init="normal_0.01")
        maps = ConvBlock(self.num_classes, 1, policy, order="conv-activation", name="logits")(x, train)
        pool = LayerRow("/".join((*self.path, "pool")), "global_avg_pool", maps.shape[1:], maps.shape[3:])
        return emit(pool, ops.global_avg_pool(maps.astype(jnp.float32)))


class RbfUnits(nn.Module):
    """Radial basis function units: the logit of a class is minus the squared distance to its prototype.

    Attributes:
      num_classes: Number of units.
      prototypes: "digits" (7x12 images of 0 to 9), "random" (fixed signs, the same in every run) or "learned"
        (initialized with these signs).

    Source: LeCun et al., 1998, section II.B.
    """

    num_classes: int
    prototypes: str

    @nn.compact
    def __call__(self, x: Float[Array, "b n"]) -> Float[Array, "b k"]:
        name, shape = "/".join(self.path), (self.num_classes, x.shape[-1])
        if self.prototypes == "digits" and shape != DIGITS.shape:
            with naming(name, x.shape[1:]):
                raise GeometryError(
                    f"prototypes=digits are 10 pictures of 84 pixels, and {shape[0]} classes of {shape[1]} values are "
                    "needed; use prototypes=random or prototypes=learned"
                )
        signs = initial_prototypes(self.prototypes, shape)
        learned = self.prototypes == "learned"
        centers = self.param("prototypes", lambda key: jnp.asarray(signs)) if learned else jnp.asarray(signs)
        y = -jnp.sum(jnp.square(x[:, None, :].astype(jnp.float32) - centers), axis=-1)
        row = LayerRow(name, "rbf", x.shape[1:], shape[:1], math.prod(shape) * learned, math.prod(shape))
        return emit(dataclasses.replace(row, settings=(("prototypes", self.prototypes),)), y)


def initial_prototypes(kind: str, shape: tuple[int, int]) -> Float32[np.ndarray, "k n"]:
    """Returns the prototypes of `RbfUnits`, all +1 or -1; learned prototypes start from these values.

    Args:
      kind: "digits", "random" or "learned".
      shape: (units, inputs).
    """
    if kind == "digits":
        return DIGITS
    return 2 * np.random.default_rng(0).integers(0, 2, shape).astype(np.float32) - 1
