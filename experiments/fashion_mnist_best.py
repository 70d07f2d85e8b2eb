"""Our most accurate recipe, for an accelerator: WRN-28-10 with random erasing, 200 epochs in half precision.

Sources: Zagoruyko and Komodakis, "Wide residual networks", 2016; Zhong et al., "Random erasing", 2017.
"""

from typing import Any


def get_config() -> dict[str, Any]:
    return {
        "data": {"name": "fashion_mnist", "normalize": "standardize"},
        "augment": {"flip": True, "crop_padding": 4, "erasing": 0.5},
        "model": {
            "name": "resnet_cifar",
            "depth": 28,
            "widen": 10,
            "activation_order": "pre",
            "shortcut": "projection",
            "dropout": 0.3,
            "compute": "bfloat16",
        },
        "optimizer": {"name": "sgd", "learning_rate": 0.1, "nesterov": True, "weight_decay": 5e-4},
        "schedule": {"name": "cosine", "warmup_epochs": 1.0},
        "train": {"epochs": 200, "batch_size": 128, "ema_decay": 0.999, "steps_per_dispatch": 469},
    }
