"""ResNet-50 (v1.5) on ImageNet: 90 epochs, batches of 256, the rate divided by ten after 30, 60 and 80.

Needs records made by `launch.py prepare` (docs/data.md).

Sources: He et al., 2016, section 3.4; for warm-up and zeroed scales Goyal et al., "Accurate, large minibatch SGD",
2017.
"""

from typing import Any


def get_config() -> dict[str, Any]:
    return {
        "data": {"name": "records", "folder": "imagenet", "classes": 1000, "normalize": "standardize"},
        "model": {"name": "resnet", "depth": 50, "zero_init_scale": True, "norm_images": 32, "compute": "bfloat16"},
        "optimizer": {"name": "sgd", "learning_rate": 0.1, "momentum": 0.9, "weight_decay": 1e-4},
        "schedule": {"name": "step", "boundaries": (30.0, 60.0, 80.0), "factor": 0.1, "warmup_epochs": 5.0},
        "train": {"epochs": 90, "batch_size": 256, "eval_batch_size": 256, "label_smoothing": 0.1},
    }
