"""The best recipe of five epochs on Fashion-MNIST: learning rate, width, batch size, smoothing and augmentation."""

from typing import Any

from cnn_jax.sweep import Hyperband, Named, Search, choice, integers, log_uniform, uniform


def get_config() -> dict[str, Any]:
    return {
        "data": {"name": "fashion_mnist", "normalize": "scale", "validation_fraction": 0.1},
        "model": {"name": "cnn", "kernel_size": 3, "pooling": ("max", "max", "none")},
        "optimizer": {"name": "adam"},
        "schedule": {"name": "cosine"},
        "train": {"epochs": 5},
        "log": {"tensorboard": False},
    }


def get_search() -> Search:
    widths = [Named(f"{width}, {2 * width}, {2 * width}", (width, 2 * width, 2 * width)) for width in (16, 32, 48)]
    return Search(
        {
            "optimizer.learning_rate": log_uniform(3e-4, 1e-2),
            "model.features": choice(widths),
            "train.batch_size": integers(32, 256, log=True),
            "train.label_smoothing": uniform(0, 0.15),
            "augment.flip": choice([False, True]),
            "augment.shift": integers(0, 2),
        },
        trials=24,
        sampler="tpe",
        stopping=Hyperband(eta=3),
        confirm=2,
        seeds=5,
        description="Which recipe of five epochs reaches the best validation accuracy?",
    )
