"""LeNet-5 as in the paper, on the digits that it was made for: 60,000 parameters.

Trainable subsampling with sigmoids, the connection table of C3, scaled tanh, and Euclidean units that compare the last
layer with pictures of the digits. MNIST is downloaded, or read from `data.idx_dir`.
"""

from typing import Any


def get_config() -> dict[str, Any]:
    return {
        "data": {"name": "mnist", "normalize": "scale"},
        "model": {
            "name": "lenet5",
            "activation": "scaled_tanh",
            "pool_activation": "sigmoid",
            "subsampling": "trainable",
            "connection": "table",
            "output": "rbf",
            "prototypes": "digits",
        },
        "optimizer": {"name": "adam", "learning_rate": 2e-3},
        "schedule": {"name": "one_cycle"},
        "train": {"epochs": 20, "batch_size": 128},
    }
