"""The best recipe of five epochs on Fashion-MNIST: learning rate, schedule, width and augmentation.

Thirty points with two halvings cost 60 epochs, as many as twelve that are trained to the end.
"""

from typing import Any

from cnn_jax.sweep import Halving, Named, Search, choice, log_uniform


def get_config() -> dict[str, Any]:
    return {
        "data": {"name": "fashion_mnist", "normalize": "standardize", "validation_fraction": 0.1},
        "model": {"name": "cnn", "kernel_size": 3, "pooling": ("max", "max", "none")},
        "optimizer": {"name": "adam"},
        "train": {"epochs": 5, "batch_size": 128},
        "log": {"tensorboard": False},
    }


def get_search() -> Search:
    widths = [Named(f"{width}, {2 * width}, {2 * width}", (width, 2 * width, 2 * width)) for width in (4, 8, 12)]
    augmentations = [
        Named("none", {}),
        Named("flip", {"flip": True}),
        Named("shift", {"shift": 1}),
        Named("flip and shift", {"flip": True, "shift": 1}),
    ]
    return Search(
        {
            "optimizer.learning_rate": log_uniform(3e-4, 3e-2),
            "schedule.name": choice(["constant", "cosine", "one_cycle"]),
            "model.features": choice(widths),
            "augment": choice(augmentations),
        },
        trials=30,
        sampler="tpe",
        batch=6,
        stopping=Halving(eta=2),
        confirm=1,
        seeds=5,
        description="Which recipe of five epochs reaches the best validation accuracy?",
    )
