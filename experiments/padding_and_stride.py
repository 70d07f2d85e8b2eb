"""Which padding and which stride are best, and is a strided convolution as good as pooling?

Two convolutions on Fashion-MNIST. Their maps shrink by strides of 1, 2 or 3, or by max pooling of 2 or 3 after a
convolution of stride 1, each under five paddings, with three seeds.
"""

from typing import Any

from cnn_jax.sweep import Sweep, assign, chain, product, repeat_seeds


def get_config() -> dict[str, Any]:
    return {
        "data": {"name": "fashion_mnist", "normalize": "standardize", "train_examples": 12_000},
        "model": {"name": "cnn", "features": (16, 32), "pooling": "max", "dense": (64,)},
        "optimizer": {"name": "adam", "learning_rate": 3e-3},
        "schedule": {"name": "one_cycle"},
        "train": {"epochs": 4, "batch_size": 64},
    }


def get_sweep() -> Sweep:
    by_stride = assign(product({"model.strides": [1, 2, 3]}), {"model.pooling": "none"})
    by_pooling = assign(product({"model.pool_window": [2, 3]}), {"model.pooling": "max"})
    paddings = {"model.padding": ["VALID", "SAME", "TORCH", "REFLECT", "CIRCULAR"]}
    return Sweep(
        product(paddings, chain(by_stride, by_pooling), repeat_seeds(3)),
        description="Padding and downsampling of two convolutions on 12,000 images of Fashion-MNIST.",
        baseline={"model.padding": "VALID", "model.pooling": "max", "model.pool_window": 2},
        skip_infeasible=True,
    )
