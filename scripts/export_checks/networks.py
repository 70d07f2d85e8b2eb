"""Networks of the export checks: their versions, weights and pictures."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from PIL import Image
from support.untrained_run import untrained_run

from cnn_jax import data, geometry, models
from cnn_jax.config.parsing import parse
from cnn_jax.data.device import pipeline
from cnn_jax.ops import GeometryError
from cnn_jax.train.restore import FinishedRun

PADDINGS = ("VALID", "SAME", "SAME_LOWER", "TORCH", "REFLECT", "REPLICATE", "CIRCULAR")
NORMS = ("none", "batch", "group", "layer")
VERSIONS = ("own", *PADDINGS, *(f"{norm} norm" for norm in NORMS))
NETWORKS: dict[str, tuple[dict[str, Any], int]] = {  # model section, channels of an image
    "cnn": ({}, 1),
    "lenet5": ({"name": "lenet5"}, 1),
    "resnet_cifar": ({"name": "resnet_cifar"}, 3),
    "resnet50": ({"name": "resnet", "depth": 50}, 3),
    "googlenet": ({"name": "googlenet"}, 3),
    "googlenet_torchvision": ({"name": "googlenet_torchvision"}, 3),
    "alexnet": ({"name": "alexnet"}, 3),
    "alexnet_torchvision": ({"name": "alexnet_torchvision"}, 3),
}
SIZES = {1: (28, 32), 3: (32, 40, 48, 56, 64, 72, 80, 96, 128, 160, 224)}
"""Sides in pixels of images of so many channels; a version takes the least that is legal."""
CLASSES = 10
# Group norm's eight groups do not divide LeNet-5's 6 maps, nor a wide choice of others'.
_GROUPS = {"lenet5": 2}


def versions(name: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Gives a network's versions: its own, then one for each other padding and each other norm.

    Args:
      name: One of NETWORKS.

    Returns:
      (name, model section) of each.
    """
    model = NETWORKS[name][0]
    own = parse({"model": model}).model
    yield "own", model
    for padding in PADDINGS:
        if own.padding != padding:
            yield padding, model | {"padding": padding}
    for norm in NORMS:
        if own.norm != norm:
            yield f"{norm} norm", model | {"norm": norm, "norm_groups": _GROUPS.get(name, 8)}


def least_shape(model: dict[str, Any], channels: int) -> tuple[int, int, int]:
    """Finds the least square images that a network takes.

    Args:
      model: Model section of the config.
      channels: Channels of an image.

    Returns:
      (height, width, channels).

    Raises:
      GeometryError: Where no size of SIZES is legal.
    """
    section = parse({"model": model}).model
    for size in SIZES[channels]:
        try:
            geometry.summarize(section, (size, size, channels), CLASSES)
        except GeometryError as error:
            fault = error
        else:
            return size, size, channels
    raise fault


def pictures(count: int, image_shape: tuple[int, int, int]) -> np.ndarray:
    """Resizes test images of Fashion-MNIST; three channels are the image, its mirror image and its negative.

    Args:
      count: Number of images, at most 10,000.
      image_shape: (height, width, channels).

    Returns:
      Pixels, uint8 [count, height, width, channels].
    """
    height, width, channels = image_shape
    grey = data.load(parse({}).data, seed=0).test.images[:count, :, :, 0]
    resized = np.stack([Image.fromarray(each).resize((width, height), Image.Resampling.BILINEAR) for each in grey])
    return np.stack([resized, resized[:, :, ::-1], 255 - resized], axis=-1)[..., :channels]


def finished_run(model: dict[str, Any], pixels: np.ndarray) -> FinishedRun:
    """Draws a network's weights such that its maps and its answers are of a trained network's kind.

    Without statistics of batch norms the maps of deep networks grow without bound, and a random last layer gives
    every image one class; so batch norms have the statistics of 16 images, and each class's logits a mean of 0 over
    500 images.

    Args:
      model: Model section of the config.
      pixels: Images, uint8 [n, height, width, channels].
    """
    image_shape = (pixels.shape[1], pixels.shape[2], pixels.shape[3])
    run = untrained_run(model, image_shape, {"eval_batch_size": 500}, CLASSES)
    variables = dict(run.variables)
    if "batch_stats" in variables:
        section = run.experiment.model.model_copy(update={"norm_momentum": 0.0, "aux_heads": False})
        images = pipeline.normalize(jnp.asarray(pixels[:16]), run.normalization)
        network = models.create(section, CLASSES)
        apply = jax.jit(lambda given: network.apply(given, images, train=True, key=jax.random.key(0))[2])
        variables["batch_stats"] = apply(variables)
        run = dataclasses.replace(run, variables=variables)
    mean = run.logits(pixels[:500]).mean(axis=0)
    last = next(row.name for row in reversed(run.config.network.layers(image_shape)) if row.parameters)
    params = jax.tree_util.tree_map_with_path(
        lambda path, leaf: leaf - mean if "/".join(entry.key for entry in path) == f"{last}/bias" else leaf,
        variables["params"],
    )
    return dataclasses.replace(run, variables={**variables, "params": params})
