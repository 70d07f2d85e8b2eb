"""DenseNet-121 on ImageNet: 90 epochs, batches of 256, the rate divided by ten after 30 and 60.

Needs records made by `launch.py prepare` (docs/data.md).

Source: Huang et al., 2017, section 4.2.
"""

from typing import Any


def get_config() -> dict[str, Any]:
    return {
        "data": {"name": "records", "folder": "imagenet", "classes": 1000, "normalize": "standardize"},
        "model": {"name": "densenet", "compute": "bfloat16"},
        "optimizer": {"name": "sgd", "learning_rate": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 1e-4},
        "schedule": {"name": "step", "boundaries": (30.0, 60.0), "factor": 0.1},
        "train": {"epochs": 90, "batch_size": 256, "eval_batch_size": 256},
    }
