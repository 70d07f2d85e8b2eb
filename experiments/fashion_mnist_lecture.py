"""The lecture's exact recipe: its network, 5 epochs, batch 32, Adam at 1e-3, pixels / 255."""

from typing import Any


def get_config() -> dict[str, Any]:
    return {
        "data": {"name": "fashion_mnist", "normalize": "scale"},
        "model": {"name": "cnn", "features": (32, 64, 64), "kernel_size": 3, "pooling": ("max", "max", "none")},
        "optimizer": {"name": "adam", "learning_rate": 1e-3, "eps": 1e-7},
        "schedule": {"name": "constant"},
        "train": {"epochs": 5, "batch_size": 32},
    }
