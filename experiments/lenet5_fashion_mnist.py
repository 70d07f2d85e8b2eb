"""LeNet-5 (the lecture's table 13-1) on Fashion-MNIST: 28x28 pictures padded with zeros, 61,706 parameters."""

from typing import Any


def get_config() -> dict[str, Any]:
    return {
        "data": {"name": "fashion_mnist", "normalize": "scale"},
        "augment": {"flip": True},
        "model": {"name": "lenet5"},
        "optimizer": {"name": "adam", "learning_rate": 3e-3},
        "schedule": {"name": "one_cycle"},
        "train": {"epochs": 16, "batch_size": 128},
    }
