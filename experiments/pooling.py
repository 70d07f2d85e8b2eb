"""Max, average, min or no pooling in the lecture's network, with three seeds."""

from typing import Any

from cnn_jax.sweep import Sweep, product, repeat_seeds


def get_config() -> dict[str, Any]:
    return {
        "data": {"name": "fashion_mnist", "normalize": "standardize", "train_examples": 12_000},
        "model": {"name": "cnn", "features": (16, 32), "pooling": "max", "dense": (64,)},
        "optimizer": {"name": "adam", "learning_rate": 3e-3},
        "schedule": {"name": "one_cycle"},
        "train": {"epochs": 4, "batch_size": 64},
    }


def get_sweep() -> Sweep:
    return Sweep(
        product({"model.pooling": ["max", "avg", "min", "none"]}, repeat_seeds(3)),
        description="Pooling after each of two convolutions; without it the dense layer sees every position.",
        baseline={"model.pooling": "max"},
    )
