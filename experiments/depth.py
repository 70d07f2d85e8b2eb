"""Depth with and without shortcuts: plain and residual networks of 8, 14 and 20 layers, with three seeds."""

from typing import Any

from cnn_jax.sweep import Sweep, product, repeat_seeds


def get_config() -> dict[str, Any]:
    return {
        "data": {"name": "fashion_mnist", "normalize": "standardize", "train_examples": 12_000},
        "model": {"name": "resnet_cifar", "stem_strides": 2},
        "optimizer": {"name": "sgd", "learning_rate": 0.1, "nesterov": True, "weight_decay": 5e-4},
        "schedule": {"name": "one_cycle"},
        "train": {"epochs": 4, "batch_size": 64},
    }


def get_sweep() -> Sweep:
    return Sweep(
        product({"model.shortcut": ["none", "padded"], "model.depth": [8, 14, 20]}, repeat_seeds(3)),
        description="Plain and residual networks of He et al., section 4.2, with one recipe.",
        baseline={"model.shortcut": "none", "model.depth": 8},
    )
