"""WRN-28-10 on CIFAR-10: few layers with many maps, the rate divided by five after 60, 120 and 160 of 200 epochs.

Source: Zagoruyko and Komodakis, 2016, section 3, which reports an error of 4.00 per cent.
"""

from typing import Any


def get_config() -> dict[str, Any]:
    return {
        "data": {"name": "cifar10", "normalize": "standardize"},
        "augment": {"flip": True, "crop_padding": 4},
        "model": {
            "name": "resnet_cifar",
            "depth": 28,
            "widen": 10,
            "activation_order": "pre",
            "shortcut": "projection",
        },
        "optimizer": {"name": "sgd", "learning_rate": 0.1, "nesterov": True, "weight_decay": 5e-4},
        "schedule": {"name": "step", "boundaries": (60.0, 120.0, 160.0), "factor": 0.2},
        "train": {"epochs": 200, "batch_size": 128},
    }
