"""Published weights: torchvision's and timm's entries into our variables, and back."""

from cnn_jax.pretrained.convert import from_torch, to_torch
from cnn_jax.pretrained.errors import WeightsError
from cnn_jax.pretrained.files import read_numpy_pickle, read_state_dict
from cnn_jax.pretrained.initial import check_frozen, initial_variables

__all__ = [
    "WeightsError",
    "check_frozen",
    "from_torch",
    "initial_variables",
    "read_numpy_pickle",
    "read_state_dict",
    "to_torch",
]
