"""One 9x9 kernel against stacks of 3x3: two see 5x5 pixels, four see 9x9.

A first 3x3 convolution of 32 maps is common to all. Of the four 3x3 one stack has as many maps as the 9x9 layer and
fewer than half of its parameters, the other as many parameters as it.
"""

from typing import Any

from cnn_jax.sweep import Sweep, product, repeat_seeds, zip_


def get_config() -> dict[str, Any]:
    return {
        "data": {"name": "fashion_mnist", "normalize": "standardize", "train_examples": 12_000},
        "model": {"name": "cnn", "padding": "SAME", "dense": ()},
        "optimizer": {"name": "adam", "learning_rate": 2e-3},
        "schedule": {"name": "one_cycle"},
        "train": {"epochs": 4, "batch_size": 64},
    }


def get_sweep() -> Sweep:
    kernels = zip_(
        {
            "model.features": [(32, 32), (32, 32, 32), (32, 32, 32, 32, 32), (32, 54, 54, 54, 32)],
            "model.kernel_size": [(3, 9), 3, 3, 3],
            "model.pooling": [
                ("max", "max"),
                ("max", "none", "max"),
                ("max", "none", "none", "none", "max"),
                ("max", "none", "none", "none", "max"),
            ],
        }
    )
    return Sweep(
        product(kernels, repeat_seeds(3)),
        description="A 9x9 layer of 82,976 parameters; two and four 3x3 layers of 32 maps; four of 83,786 parameters.",
        baseline=kernels[0],
    )
