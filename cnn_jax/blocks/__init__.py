"""Flax modules with parameters, built on the functions of `ops`. Each module records its row of the layer table."""

from cnn_jax.blocks.conv import ConvBlock
from cnn_jax.blocks.convnext_block import ConvNeXtBlock
from cnn_jax.blocks.dense import ConvHead, Dense, DenseHead, GlobalHead, RbfUnits
from cnn_jax.blocks.densenet_layer import DenseNetLayer
from cnn_jax.blocks.drop_path import DropPath, drop_rates
from cnn_jax.blocks.fire import FireBlock
from cnn_jax.blocks.inception import AuxiliaryHead, InceptionBlock
from cnn_jax.blocks.inception_v3 import InceptionV3Block
from cnn_jax.blocks.inverted_residual import InvertedResidual, Squeeze, SqueezeExcite, make_divisible
from cnn_jax.blocks.norm import Norm, NormActivation, lrn
from cnn_jax.blocks.policy import ACTIVATIONS, Policy
from cnn_jax.blocks.pooling import Pooling, adaptive_pool, pool
from cnn_jax.blocks.residual import ResidualBlock

__all__ = [
    "ACTIVATIONS",
    "AuxiliaryHead",
    "ConvBlock",
    "ConvHead",
    "ConvNeXtBlock",
    "Dense",
    "DenseHead",
    "DenseNetLayer",
    "DropPath",
    "FireBlock",
    "GlobalHead",
    "InceptionBlock",
    "InceptionV3Block",
    "InvertedResidual",
    "Norm",
    "NormActivation",
    "Policy",
    "Pooling",
    "RbfUnits",
    "ResidualBlock",
    "Squeeze",
    "SqueezeExcite",
    "adaptive_pool",
    "drop_rates",
    "lrn",
    "make_divisible",
    "pool",
]
