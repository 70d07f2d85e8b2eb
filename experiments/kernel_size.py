"""One 9x9 kernel against stacks of 3x3 kernels: two have a receptive field of 5x5 pixels, four of 9x9.

All networks start with a 3x3 convolution of 32 maps. One stack of four has as many maps as the 9x9 layer and fewer than
half of its parameters; the other has as many parameters.
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
    stack = {"name": "cnn", "padding": "SAME", "dense": ()}
    two, four = ("max", "none", "max"), ("max", "none", "none", "none", "max")
    networks = [
        Named("9x9", {**stack, "features": (32, 32), "kernel_size": (3, 9), "pooling": ("max", "max")}),
        Named("two 3x3", {**stack, "features": (32, 32, 32), "pooling": two}),
        Named("four 3x3", {**stack, "features": (32, 32, 32, 32, 32), "pooling": four}),
        Named("four 3x3, wider", {**stack, "features": (32, 54, 54, 54, 32), "pooling": four}),
    ]
    return Sweep(
        product({"model": networks}, repeat_seeds(3)),
        description="A 9x9 layer (82,976 parameters); two and four 3x3 layers of 32 maps; four with 83,786 parameters.",
        baseline={"model": networks[0]},
    )
