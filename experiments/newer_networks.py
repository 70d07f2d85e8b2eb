"""The networks after ResNet, and VGG and ZFNet, at 4 to 10 million multiply-adds per image."""

from typing import Any

from cnn_jax.sweep import Named, Sweep, product, repeat_seeds

SMALL_STEM = {"stem_kernel_size": 3, "stem_strides": 1}
NETWORKS = [
    Named(
        "VGG-11",
        {
            "name": "vgg",
            "depth": 11,
            "width": 0.25,
            "norm": "batch",
            "stage_pools": (True, True, True, False, False),
            "head_size": 1,
            "dense": (128,),
        },
    ),
    Named(
        "ZFNet",
        {
            "name": "zfnet",
            "features": (24, 48, 64, 64, 48),
            "kernel_size": (3, 3, 3, 3, 3),
            "strides": (1, 1),
            "early_padding": ("SAME", "SAME"),
            "dense": (128, 128),
            "dropout": 0.3,
        },
    ),
    Named(
        "Inception v3",
        {
            "name": "inception_v3",
            "width": 0.25,
            "modules": (1, 1, 1),
            "stem_strides": 1,
            "stem_pools": (True, False),
            "aux_heads": False,
        },
    ),
    Named(
        "ResNeXt-50",
        {
            "name": "resnet",
            "stem_kernel_size": 3,
            "stem_pooling": "none",
            "depth": 50,
            "width": 8,
            "bottleneck_groups": 4,
            "bottleneck_width": 2,
        },
    ),
    Named(
        "DenseNet",
        {
            "name": "densenet",
            "blocks": (6, 6, 6),
            "growth": 8,
            "stem_features": 16,
            "stem_kernel_size": 3,
            "stem_strides": 2,
            "stem_pooling": "none",
        },
    ),
    Named("MobileNetV2", {"name": "mobilenet_v2", "width": 0.35, **SMALL_STEM, "stage_strides": (1, 2, 2, 1, 1, 2, 1)}),
    Named("MobileNetV3", {"name": "mobilenet_v3_small", "width": 0.5, **SMALL_STEM, "stage_strides": (1, 2, 2, 2)}),
    Named(
        "EfficientNet", {"name": "efficientnet", "width": 0.25, **SMALL_STEM, "stage_strides": (1, 2, 2, 1, 1, 2, 1)}
    ),
    Named(
        "ConvNeXt",
        {
            "name": "convnext",
            "features": (24, 48, 96, 192),
            "blocks": (2, 2, 4, 2),
            "stem_size": 2,
            "kernel_size": 5,
        },
    ),
]


def get_config() -> dict[str, Any]:
    return {
        "data": {"name": "fashion_mnist", "normalize": "standardize", "train_examples": 12_000},
        "augment": {"flip": True},
        "optimizer": {"name": "adam", "learning_rate": 2e-3},
        "schedule": {"name": "one_cycle"},
        "train": {"epochs": 4, "batch_size": 64},
    }


def get_sweep() -> Sweep:
    return Sweep(
        product({"model": NETWORKS}, repeat_seeds(3)),
        description="VGG, ZFNet, Inception v3, ResNeXt, DenseNet, MobileNets, EfficientNet, ConvNeXt for small images.",
        baseline={"model": NETWORKS[0]},
    )
