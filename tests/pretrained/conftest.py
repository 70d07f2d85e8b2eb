"""Weights and images that the reference outputs in `golden/` were computed from."""

import json
from pathlib import Path

import numpy as np
import pytest
from peers.torchvision_outputs import weights_of

GOLDEN = Path(__file__).parent / "golden"


@pytest.fixture(scope="session")
def golden() -> Path:
    return GOLDEN


@pytest.fixture(scope="session")
def reference_weights():
    """A function of a network's name: torchvision's entries with weights drawn from their names."""

    def draw(network: str) -> dict[str, np.ndarray]:
        shapes = json.loads((GOLDEN / f"{network}_state_dict.json").read_text(encoding="utf-8"))
        return {name: weights_of(name, tuple(shape)) for name, shape in shapes.items()}

    return draw
