"""The best recipe of five epochs on Fashion-MNIST: learning rate, schedule, batch size, width and augmentation."""

from typing import Any

from cnn_jax.sweep import Halving, Named, Search, choice, integers, log_uniform


def get_config() -> dict[str, Any]:
    return {
        "data": {"name": "fashion_mnist", "normalize": "standardize", "validation_fraction": 0.1},
        "model": {"name": "cnn", "kernel_size": 3, "pooling": ("max", "max", "none")},
        "optimizer": {"name": "adam"},
        "train": {"epochs": 5},
        "log": {"tensorboard": False},
    }


def get_search() -> Search:
    widths = [Named(f"{width}, {2 * width}, {2 * width}", (width, 2 * width, 2 * width)) for width in (8, 12, 16)]
    return Search(
        {
            "optimizer.learning_rate": log_uniform(3e-4, 3e-2),
            "schedule.name": choice(["constant", "cosine", "one_cycle"]),
            "train.batch_size": choice([32, 64, 128]),
            "model.features": choice(widths),
            "augment.flip": choice([False, True]),
            "augment.shift": integers(0, 2),
        },
        trials=30,
        sampler="tpe",
        batch=6,
        stopping=Halving(eta=2),
        confirm=1,
        seeds=5,
        description="Which recipe of five epochs reaches the best validation accuracy?",
    )
