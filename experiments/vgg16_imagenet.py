"""VGG-16 on ImageNet: 74 epochs, batches of 256, dropout and weight decay, the rate lowered three times.

Needs records made by `launch.py prepare` (docs/data.md). The paper lowers the rate by hand when the validation accuracy
stops improving, and starts from a trained network of 11 layers; this file lowers it after 25, 45 and 60 epochs, and
starts from random weights.

Source: Simonyan and Zisserman, 2015, section 3.1.
"""

from typing import Any


def get_config() -> dict[str, Any]:
    return {
        "data": {"name": "records", "folder": "imagenet", "classes": 1000, "normalize": "standardize"},
        "augment": {"lighting": 0.1},
        "model": {"name": "vgg", "depth": 16, "compute": "bfloat16"},
        "optimizer": {"name": "sgd", "learning_rate": 0.01, "momentum": 0.9, "weight_decay": 5e-4},
        "schedule": {"name": "step", "boundaries": (25.0, 45.0, 60.0), "factor": 0.1},
        "train": {"epochs": 74, "batch_size": 256, "eval_batch_size": 256},
    }
