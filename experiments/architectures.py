"""The lecture's architectures at similar cost, 2.4 to 5.5 million multiply-adds per image, with three seeds."""

from typing import Any

from cnn_jax.sweep import Named, Sweep, product, repeat_seeds


def get_config() -> dict[str, Any]:
    return {
        "data": {"name": "fashion_mnist", "normalize": "standardize", "train_examples": 12_000},
        "augment": {"flip": True},
        "optimizer": {"name": "adam", "learning_rate": 2e-3},
        "schedule": {"name": "one_cycle"},
        "train": {"epochs": 4, "batch_size": 64},
    }


def get_sweep() -> Sweep:
    small = {"stem_kernel_size": 3, "stem_strides": 1}
    alexnet = {"name": "alexnet", **small, "stem_padding": "SAME", "kernel_size": (3, 3, 3, 3), "dropout": 0.3}
    googlenet = {"name": "googlenet", **small, "width": 0.15, "stem_pools": (True, False), "modules": (2, 2, 1)}
    networks = [
        Named("the lecture's", {"name": "cnn"}),
        Named(
            "LeNet-5",
            {"name": "lenet5", "features": (16, 48, 120), "activation": "relu", "pool_activation": "identity"},
        ),
        Named("AlexNet", {**alexnet, "features": (24, 48, 64, 64, 48), "dense": (128, 128)}),
        Named("GoogLeNet", {**googlenet, "norm": "batch", "lrn": False, "aux_heads": False}),
        Named("ResNet-14", {"name": "resnet_cifar", "depth": 14, "stem_strides": 2}),
    ]
    return Sweep(
        product({"model": networks}, repeat_seeds(3)),
        description="The lecture's network, LeNet-5, AlexNet, GoogLeNet and ResNet, sized to similar cost.",
        baseline={"model": networks[0]},
    )
