"""The degradation problem: plain and residual networks of depth 20 and 56 with one recipe.

It takes four runs: config.model.shortcut none and padded, each with config.model.depth 20 and 56.
"""

from typing import Any


def get_config() -> dict[str, Any]:
    return {
        "data": {"name": "fashion_mnist", "normalize": "standardize", "train_examples": 20_000},
        "augment": {"flip": True},
        "model": {"name": "resnet_cifar", "depth": 20, "shortcut": "none", "stem_strides": 2},
        "optimizer": {"name": "sgd", "learning_rate": 0.1, "weight_decay": 1e-4},
        "schedule": {"name": "cosine", "warmup_epochs": 1.0},
        "train": {"epochs": 6, "batch_size": 128},
    }
