"""Weights and images that the reference outputs in `golden/` were computed from."""

from pathlib import Path

import golden_weights
import pytest


@pytest.fixture(scope="session")
def golden() -> Path:
    return golden_weights.GOLDEN


@pytest.fixture(scope="session")
def reference_weights():
    """A function of a network's name: torchvision's entries with weights drawn from their names."""
    return golden_weights.draw
