"""ResNet-20 for 28x28 pictures with stride 2 in its first convolution: 14x14, 7x7 and 4x4 maps."""

from typing import Any


def get_config() -> dict[str, Any]:
    return {
        "data": {"name": "fashion_mnist", "normalize": "standardize"},
        "augment": {"flip": True},
        "model": {"name": "resnet_cifar", "depth": 20, "stem_strides": 2},
        "optimizer": {"name": "sgd", "learning_rate": 0.2, "nesterov": True, "weight_decay": 5e-4},
        "schedule": {"name": "one_cycle"},
        "train": {"epochs": 6, "batch_size": 128},
    }
