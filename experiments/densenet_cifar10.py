"""DenseNet-BC with 100 layers and a growth of 12 maps on CIFAR-10: 0.8 million parameters, 300 epochs.

Source: Huang et al., 2017, sections 3 and 4.2; table 2 reports an error of 4.51 per cent.
"""

from typing import Any


def get_config() -> dict[str, Any]:
    return {
        "data": {"name": "cifar10", "normalize": "standardize"},
        "augment": {"flip": True, "crop_padding": 4},
        "model": {
            "name": "densenet",
            "blocks": (16, 16, 16),
            "growth": 12,
            "stem_features": 24,
            "stem_kernel_size": 3,
            "stem_strides": 1,
            "stem_pooling": "none",
        },
        "optimizer": {"name": "sgd", "learning_rate": 0.1, "nesterov": True, "weight_decay": 1e-4},
        "schedule": {"name": "step", "boundaries": (150.0, 225.0), "factor": 0.1},
        "train": {"epochs": 300, "batch_size": 64},
    }
