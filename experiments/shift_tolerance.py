"""The accuracy lost when test images are shifted by 0 to 6 pixels along both axes, with and without pooling.

The networks are trained on unshifted images. Without pooling, strides of 2 give maps of the same size.
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
        description="Test images shifted by 0 to 6 pixels; training images unshifted.",
        baseline={**networks[0], "data.test_shift": 0},
    )
