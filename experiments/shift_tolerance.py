"""How much a shift of the test images costs, 0 to 6 pixels along both axes, with pooling and without.

The networks learn unshifted images. Without pooling, strides of 2 make the same maps.
"""

from typing import Any

from cnn_jax.sweep import Sweep, product, repeat_seeds


def get_config() -> dict[str, Any]:
    return {
        "data": {"name": "fashion_mnist", "normalize": "standardize", "train_examples": 12_000},
        "model": {"name": "cnn", "features": (16, 32), "padding": "SAME", "pooling": "max", "dense": (64,)},
        "optimizer": {"name": "adam", "learning_rate": 3e-3},
        "schedule": {"name": "one_cycle"},
        "train": {"epochs": 4, "batch_size": 64},
    }


def get_sweep() -> Sweep:
    networks = [{"model.pooling": "max", "model.strides": 1}, {"model.pooling": "none", "model.strides": 2}]
    return Sweep(
        product(networks, {"data.test_shift": [0, 1, 2, 3, 4, 5, 6]}, repeat_seeds(3)),
        description="Test images moved by 0 to 6 pixels; the training images are not.",
        baseline={**networks[0], "data.test_shift": 0},
    )
