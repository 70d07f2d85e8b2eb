"""ResNeXt-50 (32x4d) on ImageNet with ResNet's schedule: grouped convolutions (32 groups) at the same cost.

Needs records made by `launch.py prepare` (docs/data.md).

Source: Xie et al., 2017, section 4 and table 1.
"""

from typing import Any


def get_config() -> dict[str, Any]:
    return {
        "data": {"name": "records", "folder": "imagenet", "classes": 1000, "normalize": "standardize"},
        "augment": {"lighting": 0.1},
        "model": {
            "name": "resnet",
            "depth": 50,
            "bottleneck_groups": 32,
            "bottleneck_width": 2,
            "norm_images": 32,
            "compute": "bfloat16",
        },
        "optimizer": {"name": "sgd", "learning_rate": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 1e-4},
        "schedule": {"name": "step", "boundaries": (30.0, 60.0), "factor": 0.1},
        "train": {"epochs": 90, "batch_size": 256, "eval_batch_size": 256},
    }
