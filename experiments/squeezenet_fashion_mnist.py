"""SqueezeNet 1.1 for 28x28 pictures: a small stem, six fire modules with half of the maps, two poolings, batch norm."""

from typing import Any


def get_config() -> dict[str, Any]:
    return {
        "data": {"name": "fashion_mnist", "normalize": "standardize"},
        "augment": {"flip": True},
        "model": {
            "name": "squeezenet1_1",
            "width": 0.5,
            "stem_strides": 1,
            "stem_padding": "SAME",
            "modules": 6,
            "pool_after": (3, 5),
            "norm": "batch",
            "dropout": 0.2,
        },
        "optimizer": {"name": "adam", "learning_rate": 5e-3},
        "schedule": {"name": "one_cycle"},
        "train": {"epochs": 8, "batch_size": 128},
    }
