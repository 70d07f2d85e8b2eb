"""ConvNeXt-T on ImageNet: AdamW, a long warm-up, mixup and CutMix, and a running mean of the weights.

Needs records made by `launch.py prepare` (docs/data.md). Each batch uses either mixup or CutMix, as in the paper.
Differences from the paper: no RandAugment, which is not implemented; batches of 4096 images are computed in 16 parts.

Source: Liu et al., 2022, table 5.
"""

from typing import Any


def get_config() -> dict[str, Any]:
    return {
        "data": {"name": "records", "folder": "imagenet", "classes": 1000, "normalize": "standardize"},
        "augment": {"erasing": 0.25, "mixup": 0.8, "cutmix": 1.0},
        "model": {"name": "convnext", "drop_path": 0.1, "compute": "bfloat16"},
        "optimizer": {"name": "adamw", "learning_rate": 4e-3, "weight_decay": 0.05},
        "schedule": {"name": "cosine", "warmup_epochs": 20.0},
        "train": {
            "epochs": 300,
            "batch_size": 4096,
            "accumulate": 16,
            "eval_batch_size": 256,
            "label_smoothing": 0.1,
            "ema_decay": 0.9999,
        },
    }
