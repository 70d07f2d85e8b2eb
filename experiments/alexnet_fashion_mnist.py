"""AlexNet for 28x28 pictures: 3x3 kernels of stride 1 first, a quarter of the maps, hidden layers of 256."""

from typing import Any


def get_config() -> dict[str, Any]:
    return {
        "data": {"name": "fashion_mnist", "normalize": "standardize"},
        "augment": {"flip": True, "shift": 1},
        "model": {
            "name": "alexnet",
            "stem_kernel_size": 3,
            "stem_strides": 1,
            "stem_padding": "SAME",
            "features": (32, 64, 96, 96, 64),
            "kernel_size": (3, 3, 3, 3),
            "dense": (256, 256),
            "dropout": 0.3,
        },
        "optimizer": {"name": "adam", "learning_rate": 2e-3},
        "schedule": {"name": "one_cycle"},
        "train": {"epochs": 12, "batch_size": 128, "label_smoothing": 0.05},
    }
