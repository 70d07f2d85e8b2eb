"""The lecture's network for 5 epochs with our best recipe: 0.5 to 1.5 points more accurate than the lecture's.

Differences: standardised pixels, a one-cycle schedule up to three times the lecture's learning rate, batches of 64, and
label smoothing of a twentieth. The recipe was chosen on validation images (docs/benchmarks.md).
"""

from typing import Any


def get_config() -> dict[str, Any]:
    return {
        "data": {"name": "fashion_mnist", "normalize": "standardize"},
        "model": {"name": "cnn", "features": (32, 64, 64), "kernel_size": 3, "pooling": ("max", "max", "none")},
        "optimizer": {"name": "adam", "learning_rate": 3e-3},
        "schedule": {"name": "one_cycle"},
        "train": {"epochs": 5, "batch_size": 64, "label_smoothing": 0.05},
    }
