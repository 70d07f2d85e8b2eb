"""The weights that the reference outputs in `pretrained/golden/` were computed with; in NumPy alone, for peers too."""

from __future__ import annotations

import json
import zlib
from pathlib import Path

import numpy as np

GOLDEN = Path(__file__).parent / "pretrained" / "golden"


def draw(network: str) -> dict[str, np.ndarray]:
    """Draws torchvision's entries of a network, each from its name."""
    shapes = json.loads((GOLDEN / f"{network}_state_dict.json").read_text(encoding="utf-8"))
    return {name: _weights(name, tuple(shape)) for name, shape in shapes.items()}


def images() -> np.ndarray:
    """Draws the images [2, 3, 224, 224] that the logits in `golden/NAME_eval.npz` are of."""
    return np.random.default_rng(0).standard_normal((2, 3, 224, 224)).astype(np.float32)


def _weights(name: str, shape: tuple[int, ...]) -> np.ndarray:
    if name.endswith("num_batches_tracked"):
        return np.zeros(shape, np.int64)
    z = np.random.default_rng(zlib.crc32(name.encode())).standard_normal(shape).astype(np.float32)
    if name.endswith("running_var"):
        return 1 + 0.5 * abs(z)
    if name.endswith(("running_mean", "bias")):
        return 0.1 * z
    if len(shape) == 1:
        return 1 + 0.1 * z
    return z * np.float32(np.sqrt(2 / np.prod(shape[1:])))
