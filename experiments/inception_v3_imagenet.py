"""Inception v3 on ImageNet: RMSProp, clipped gradients, the rate 6 per cent lower every second of 100 epochs.

Needs records made by `launch.py prepare` (docs/data.md). In the paper, 50 machines apply gradients of 32 images
asynchronously; here a batch has 1600 images in 25 parts. The decay and the auxiliary classifier's weight are those of
the authors' code.

Source: Szegedy et al., 2016, sections 7 and 8.
"""

from typing import Any


def get_config() -> dict[str, Any]:
    return {
        "data": {
            "name": "records",
            "folder": "imagenet",
            "image_size": 299,
            "shorter_side": 342,
            "classes": 1000,
            "normalize": "standardize",
        },
        "model": {"name": "inception_v3", "compute": "bfloat16"},
        "optimizer": {"name": "rmsprop", "learning_rate": 0.045, "eps": 1.0, "clip_norm": 2.0, "weight_decay": 4e-5},
        "schedule": {"name": "step", "boundaries": tuple(map(float, range(2, 100, 2))), "factor": 0.94},
        "train": {
            "epochs": 100,
            "batch_size": 1600,
            "accumulate": 25,
            "eval_batch_size": 256,
            "label_smoothing": 0.1,
            "aux_loss_weight": 0.4,
            "ema_decay": 0.9999,
        },
    }
