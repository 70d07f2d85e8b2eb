"""AlexNet on ImageNet with the paper's recipe; needs records made by `launch.py prepare` (docs/data.md).

The paper lowers the rate by hand when the validation error stops improving, three times in about 90 epochs; this file
lowers it after 30, 60 and 80. The paper trains on random 224x224 crops of the centre 256x256; this file uses square
crops covering the same share of the whole picture, if it is wide enough.

Source: Krizhevsky, Sutskever and Hinton, 2012, sections 4 and 5.
"""

from typing import Any


def get_config() -> dict[str, Any]:
    return {
        "data": {
            "name": "records",
            "folder": "imagenet",
            "classes": 1000,
            "normalize": "standardize",
            "crop_area": (0.7656, 0.7656),
            "crop_aspect": (1.0, 1.0),
        },
        "augment": {"lighting": 0.1},
        "model": {"name": "alexnet"},
        "optimizer": {
            "name": "sgd",
            "learning_rate": 0.01,
            "momentum": 0.9,
            "weight_decay": 5e-4,
            "weight_decay_mask": "all",
        },
        "schedule": {"name": "step", "boundaries": (30.0, 60.0, 80.0), "factor": 0.1},
        "train": {"epochs": 90, "batch_size": 128, "eval_batch_size": 128},
    }
