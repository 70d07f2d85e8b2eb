"""The networks that the contestants train, and what a training image costs."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.arena import Contestant
from cnn_jax import geometry
from cnn_jax.config import parsing


@dataclasses.dataclass(frozen=True)
class Network:
    """One network and how it is trained.

    Attributes:
      title: for people.
      model: cnn_jax's config section.
      parameters: as published; every contestant's network must have as many.
      image_shape: (height, width, channels).
      classes: width of the logits.
      batch_sizes: each is a competition of its own.
      optimizer: "adam" or "sgd", with momentum.
      steps: Steps in an epoch of synthetic images; None trains on Fashion-MNIST, and tests after every epoch.
      by_default: competes where no networks are named.
      contestants: Words in the names of the contestants that have it; empty are all.
    """

    title: str
    model: Mapping[str, Any]
    parameters: int
    image_shape: tuple[int, int, int]
    classes: int
    batch_sizes: tuple[int, ...]
    optimizer: str = "sgd"
    steps: int | None = None
    by_default: bool = True
    contestants: tuple[str, ...] = ()

    def among(self, contestants: Sequence[Contestant]) -> list[Contestant]:
        """The contestants that have it, in their order."""
        return [
            each for each in contestants if not self.contestants or any(word in each.name for word in self.contestants)
        ]

    def training_flop(self) -> int:
        """Multiplications and additions of one training image, from the geometry of the layers."""
        model = parsing.parse({"model": self.model}).model
        return geometry.summarize(model, self.image_shape, self.classes).training_flop


RESNET18 = {"name": "resnet", "depth": 18, "stem_kernel_size": 3, "stem_strides": 1, "stem_pooling": "none"}

NETWORKS = {
    "cnn": Network("The lecture's CNN", {"name": "cnn"}, 93_322, (28, 28, 1), 10, (32, 128), optimizer="adam"),
    "resnet18": Network("ResNet-18", RESNET18, 11_173_962, (32, 32, 3), 10, (64,), steps=6),
    # For a GPU, with the whole epoch in its memory.
    "resnet18_fashion": Network(
        "ResNet-18 on Fashion-MNIST", RESNET18, 11_172_810, (28, 28, 1), 10, (512,), by_default=False
    ),
    "alexnet": Network("AlexNet", {"name": "alexnet_torchvision"}, 61_100_840, (224, 224, 3), 1000, (16,), steps=8),
    "googlenet": Network(
        "GoogLeNet", {"name": "googlenet_torchvision"}, 6_624_904, (224, 224, 3), 1000, (16,), steps=6
    ),
    "resnet50": Network("ResNet-50", {"name": "resnet", "depth": 50}, 25_557_032, (224, 224, 3), 1000, (16,), steps=4),
    "vgg16": Network(
        "VGG-16", {"name": "vgg"}, 138_357_544, (224, 224, 3), 1000, (8,), steps=3, contestants=("cnn_jax", "PyTorch")
    ),
    "convnext_tiny": Network(
        "ConvNeXt-T",
        {"name": "convnext"},
        28_589_128,
        (224, 224, 3),
        1000,
        (8,),
        steps=3,
        contestants=("cnn_jax", "PyTorch"),
    ),
}
