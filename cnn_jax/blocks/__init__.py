"""Flax modules that own parameters, over the array functions of `ops`; each records its row of the layer table."""

from cnn_jax.blocks.conv import ConvBlock
from cnn_jax.blocks.dense import ConvHead, Dense, DenseHead, GlobalHead, RbfUnits
from cnn_jax.blocks.fire import FireBlock
from cnn_jax.blocks.inception import AuxiliaryHead, InceptionBlock
from cnn_jax.blocks.norm import Norm, NormActivation, lrn
from cnn_jax.blocks.policy import ACTIVATIONS, Policy
from cnn_jax.blocks.pooling import Pooling, adaptive_pool, pool
from cnn_jax.blocks.residual import ResidualBlock

__all__ = [
    "ACTIVATIONS",
    "AuxiliaryHead",
    "ConvBlock",
    "ConvHead",
    "Dense",
    "DenseHead",
    "FireBlock",
    "GlobalHead",
    "InceptionBlock",
    "Norm",
    "NormActivation",
    "Policy",
    "Pooling",
    "RbfUnits",
    "ResidualBlock",
    "adaptive_pool",
    "lrn",
    "pool",
]
