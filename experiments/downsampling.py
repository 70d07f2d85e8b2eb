"""Is the downsampling found by a search better than the textbook's? At most 218,656 multiply-adds, five seeds.

Each network is the widest within the budget, as computed in experiments/downsampling_search.py.
"""

from typing import Any

from cnn_jax.sweep import Named, Sweep, product, repeat_seeds


def get_config() -> dict[str, Any]:
    return {
        "data": {
            "name": "fashion_mnist",
            "normalize": "standardize",
            "validation_fraction": 0.1,
            "train_examples": 12_000,
        },
        "optimizer": {"name": "adam", "learning_rate": 5e-3},
        "schedule": {"name": "cosine"},
        "train": {"epochs": 4, "batch_size": 64},
        "log": {"tensorboard": False},
    }


def get_sweep() -> Sweep:
    networks = [
        network("max; VALID", (8, 16, 16), "VALID", pooling=("max", "max", "none")),
        network("max; SAME", (5, 10, 10), "SAME", pooling=("max", "max", "none")),
        network("average; VALID", (8, 16, 16), "VALID", pooling=("avg", "avg", "none")),
        network("stride; SAME", (8, 15, 15), "SAME", strides=(2, 2, 1)),
    ]
    networks += [
        network(
            f"max 3, strides; {padding}",
            (9, 18, 18),
            padding,
            strides=(1, 2, 2),
            pooling=("max", "none", "none"),
            windows=(3, 2, 2),
        )
        for padding in ("TORCH", "SAME")
    ]
    return Sweep(
        product({"model": networks}, repeat_seeds(5, first=1)),
        description="Downsampling of the lecture's network and of others with the same multiply-adds.",
        baseline={"model": networks[0]},
    )


def network(
    name: str,
    features: tuple[int, int, int],
    padding: str,
    strides: tuple[int, int, int] = (1, 1, 1),
    pooling: tuple[str, str, str] = ("none", "none", "none"),
    windows: tuple[int, int, int] = (2, 2, 2),
) -> Named:
    """Returns the `model` section of a network whose poolings have a stride of 2."""
    section = {
        "name": "cnn",
        "features": features,
        "padding": padding,
        "strides": strides,
        "pooling": pooling,
        "pool_window": windows,
        "pool_strides": (2, 2, 2),
        "pool_padding": "VALID" if padding == "VALID" else "SAME",
    }
    return Named(name, section)
