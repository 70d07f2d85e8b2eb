"""AlexNet on ImageNet by the paper's recipe, from records that `launch.py prepare` makes (docs/data.md).

The paper drops the rate by hand when the validation error stands still, three times in about 90 epochs; here after
30, 60 and 80. Its training images are random 224x224 crops of the middle 256x256; here square crops of as large
a share of the whole picture, where that is wide enough.

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
