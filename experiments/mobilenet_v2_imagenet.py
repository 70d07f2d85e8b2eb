"""MobileNetV2 on ImageNet: 300 epochs, a low weight decay, a cosine schedule instead of 2 per cent per epoch.

Needs records made by `launch.py prepare` (docs/data.md). The paper uses RMSProp; torchvision's weights were trained
with momentum, with this rate and decay.

Source: torchvision 0.28, references/classification; Sandler et al., 2018, section 6.1.
"""

from typing import Any


def get_config() -> dict[str, Any]:
    return {
        "data": {"name": "records", "folder": "imagenet", "classes": 1000, "normalize": "standardize"},
        "model": {"name": "mobilenet_v2", "compute": "bfloat16"},
        "optimizer": {
            "name": "sgd",
            "learning_rate": 0.045,
            "momentum": 0.9,
            "weight_decay": 4e-5,
            "weight_decay_mask": "all",
        },
        "schedule": {"name": "cosine"},
        "train": {"epochs": 300, "batch_size": 256, "eval_batch_size": 256},
    }
