"""MobileNetV3 (large) on ImageNet: 600 epochs of RMSProp, the rate 3 per cent lower every second epoch.

Needs records made by `launch.py prepare` (docs/data.md). torchvision also uses AutoAugment, which is not implemented.
Its epsilon of 0.0316 outside the square root is 0.001 inside it.

Source: torchvision 0.28, references/classification; Howard et al., 2019, section 6.1.
"""

from typing import Any


def get_config() -> dict[str, Any]:
    return {
        "data": {"name": "records", "folder": "imagenet", "classes": 1000, "normalize": "standardize"},
        "augment": {"erasing": 0.2},
        "model": {"name": "mobilenet_v3_large", "compute": "bfloat16"},
        "optimizer": {"name": "rmsprop", "learning_rate": 0.064, "weight_decay": 1e-5, "weight_decay_mask": "all"},
        "schedule": {"name": "step", "boundaries": tuple(map(float, range(2, 600, 2))), "factor": 0.973},
        "train": {"epochs": 600, "batch_size": 1024, "accumulate": 4, "eval_batch_size": 256},
    }
