"""Weights and images that the reference outputs in `golden/` were computed from."""

import json
import zlib
from pathlib import Path

import numpy as np
import pytest

GOLDEN = Path(__file__).parent / "golden"


@pytest.fixture(scope="session")
def golden() -> Path:
    return GOLDEN


@pytest.fixture(scope="session")
def reference_weights():
    """A function of a network's name: torchvision's entries with weights drawn from their names."""

    def draw(network: str) -> dict[str, np.ndarray]:
        shapes = json.loads((GOLDEN / f"{network}_state_dict.json").read_text(encoding="utf-8"))
        return {name: _weights(name, tuple(shape)) for name, shape in shapes.items()}

    return draw


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
