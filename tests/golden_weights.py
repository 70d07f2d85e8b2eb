"""The weights that the reference outputs in `pretrained/golden/` were computed with; in NumPy alone, for peers too."""

from __future__ import annotations

import json
import zlib
from pathlib import Path

import numpy as np

GOLDEN = Path(__file__).parent / "pretrained" / "golden"
COUNTER = "num_batches_tracked"


def draw(network: str) -> dict[str, np.ndarray]:
    """Draws torchvision's entries of a network, each from its name."""
    shapes = json.loads((GOLDEN / f"{network}_state_dict.json").read_text(encoding="utf-8"))
    return {name: weights_of(name, tuple(shape)) for name, shape in shapes.items()}


def weights_of(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """Draws the weights of an entry of a state dictionary.

    Args:
      name: Name of the entry, which the numbers depend on.
      shape: PyTorch's shape.

    Returns:
      Float32 numbers of the scale that keeps a deep network's maps of one size; 0 for a counter.
    """
    if name.endswith(COUNTER):
        return np.zeros(shape, np.int64)
    z = np.random.default_rng(zlib.crc32(name.encode())).standard_normal(shape).astype(np.float32)
    if name.endswith("running_var"):
        return 1 + 0.5 * abs(z)
    if name.endswith(("running_mean", "bias")):
        return 0.1 * z
    if len(shape) == 1:
        return 1 + 0.1 * z
    return z * np.float32(np.sqrt(2 / np.prod(shape[1:])))


def images_of(purpose: str) -> np.ndarray:
    """Draws the images of the evaluation, of the training step or of small networks, channels first."""
    seed, shape = {
        "eval": (0, (2, 3, 224, 224)),
        "train": (1, (4, 3, 64, 64)),
        "small": (2, (2, 3, 64, 64)),
    }[purpose]
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)
