"""GoogLeNet on ImageNet: the paper's rate, 4 % lower every 8 epochs, auxiliary heads and a running mean.

Needs records made by `launch.py prepare` (docs/data.md); their crops are the paper's. The paper does not give the batch
size and the initial rate; these are common in reimplementations.

Source: Szegedy et al., 2015, section 6.
"""

from typing import Any


def get_config() -> dict[str, Any]:
    epochs = 250
    return {
        "data": {"name": "records", "folder": "imagenet", "classes": 1000, "normalize": "standardize"},
        "augment": {"brightness": 0.2, "contrast": 0.2},
        "model": {"name": "googlenet"},
        "optimizer": {"name": "sgd", "learning_rate": 0.01, "momentum": 0.9, "weight_decay": 2e-4},
        "schedule": {"name": "step", "boundaries": tuple(map(float, range(8, epochs, 8))), "factor": 0.96},
        "train": {
            "epochs": epochs,
            "batch_size": 256,
            "eval_batch_size": 256,
            "aux_loss_weight": 0.3,
            "ema_decay": 0.9999,
        },
    }
