"""Published weights: torchvision's and timm's entries into our variables, and back."""

from cnn_jax.pretrained.convert import WeightsError, from_torch, to_torch
from cnn_jax.pretrained.files import read_state_dict

__all__ = ["WeightsError", "from_torch", "read_state_dict", "to_torch"]
