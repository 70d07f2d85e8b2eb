"""ResNet-152 on ImageNet as in the paper: strides in the 1x1 convolutions, no warm-up, no label smoothing.

Needs records made by `launch.py prepare` (docs/data.md). The paper lowers the rate when the error stops improving; this
file lowers it after 30, 60 and 90 of 120 epochs.

Source: He et al., 2016, section 3.4.
"""

from typing import Any


def get_config() -> dict[str, Any]:
    return {
        "data": {"name": "records", "folder": "imagenet", "classes": 1000, "normalize": "standardize"},
        "augment": {"lighting": 0.1},
        "model": {"name": "resnet", "depth": 152, "stride_in": "1x1", "compute": "bfloat16"},
        "optimizer": {"name": "sgd", "learning_rate": 0.1, "momentum": 0.9, "weight_decay": 1e-4},
        "schedule": {"name": "step", "boundaries": (30.0, 60.0, 90.0), "factor": 0.1},
        "train": {"epochs": 120, "batch_size": 256, "eval_batch_size": 256},
    }
