"""Weights and images that the reference outputs in `golden/` were computed from."""

import functools
from pathlib import Path

import golden_weights
import numpy as np
import pytest


@pytest.fixture(scope="session")
def golden() -> Path:
    return golden_weights.GOLDEN


@pytest.fixture(scope="session")
def reference_weights():
    """A function of a network's name: torchvision's entries with weights drawn from their names, read-only."""

    @functools.lru_cache(maxsize=1)  # tests ask for one network again and again
    def drawn(network: str) -> dict[str, np.ndarray]:
        weights = golden_weights.draw(network)
        for array in weights.values():
            array.setflags(write=False)
        return weights

    return lambda network: dict(drawn(network))
