"""EfficientNet-B0 on ImageNet: RMSProp, stochastic depth, the rate 3 per cent lower every 2.4 epochs.

Needs records made by `launch.py prepare` (docs/data.md). The paper also uses AutoAugment, which is not implemented.
Batch size, warm-up, smoothing and the mean of the weights are those of the authors' code.

Source: Tan and Le, 2019, section 5.2.
"""

from typing import Any


def get_config() -> dict[str, Any]:
    return {
        "data": {"name": "records", "folder": "imagenet", "classes": 1000, "normalize": "standardize"},
        "model": {"name": "efficientnet", "drop_path": 0.2, "compute": "bfloat16"},
        "optimizer": {"name": "rmsprop", "learning_rate": 0.256, "weight_decay": 1e-5},
        "schedule": {
            "name": "step",
            "boundaries": tuple(round(2.4 * number, 1) for number in range(1, 146)),
            "factor": 0.97,
            "warmup_epochs": 5.0,
        },
        "train": {
            "epochs": 350,
            "batch_size": 4096,
            "accumulate": 16,
            "eval_batch_size": 256,
            "label_smoothing": 0.1,
            "ema_decay": 0.9999,
        },
    }
