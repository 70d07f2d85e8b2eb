"""Data sets: from files or the network to arrays in memory, and on to the device."""

from cnn_jax.data.dataset import DataError, Dataset, Split
from cnn_jax.data.sources import load

__all__ = ["DataError", "Dataset", "Split", "load"]
