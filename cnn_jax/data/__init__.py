"""Data sets: from files or the network to arrays in memory, and on to the device."""

from cnn_jax.data.dataset import Dataset
from cnn_jax.data.errors import DataError, UnreadPicturesError
from cnn_jax.data.loading import load
from cnn_jax.data.split import Split

__all__ = ["DataError", "Dataset", "Split", "UnreadPicturesError", "load"]
