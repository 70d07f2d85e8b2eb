"""Convolution against dense layers at equal parameters, with three seeds.

A convolution whose kernel is as large as the image is a dense layer. 117 units, or 105 with a second layer of 92, have
about as many parameters as the lecture's network, 93,322.
"""

from typing import Any

from cnn_jax.sweep import Named, Sweep, product, repeat_seeds


def get_config() -> dict[str, Any]:
    return {
        "data": {"name": "fashion_mnist", "normalize": "standardize", "train_examples": 12_000},
        "optimizer": {"name": "adam", "learning_rate": 2e-3},
        "schedule": {"name": "one_cycle"},
        "train": {"epochs": 4, "batch_size": 64},
    }


def get_sweep() -> Sweep:
    dense = {"name": "cnn", "kernel_size": 28, "pooling": "none"}
    networks = [
        Named("the lecture's", {"name": "cnn"}),
        Named("one dense layer", {**dense, "features": (117,), "dense": ()}),
        Named("two dense layers", {**dense, "features": (105,), "dense": (92,)}),
    ]
    return Sweep(
        product({"model": networks}, repeat_seeds(3)),
        description="The lecture's network of 93,322 parameters, and one and two hidden dense layers with as many.",
        baseline={"model": networks[0]},
    )
