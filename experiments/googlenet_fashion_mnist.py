"""GoogLeNet for 28x28 pictures: a small stem, five inception modules with a fifth of the maps, batch norm."""

from typing import Any


def get_config() -> dict[str, Any]:
    return {
        "data": {"name": "fashion_mnist", "normalize": "standardize"},
        "augment": {"flip": True},
        "model": {
            "name": "googlenet",
            "width": 0.2,
            "stem_kernel_size": 3,
            "stem_strides": 1,
            "stem_pools": (True, False),
            "modules": (2, 2, 1),
            "norm": "batch",
            "lrn": False,
            "aux_heads": False,
        },
        "optimizer": {"name": "adam", "learning_rate": 5e-3},
        "schedule": {"name": "one_cycle"},
        "train": {"epochs": 8, "batch_size": 128},
    }
