"""Networks of the export checks: their versions, weights and pictures."""

from __future__ import annotations

import dataclasses
import functools
import itertools
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from PIL import Image
from support.quick_programs import QUICK
from support.untrained_run import untrained_run

from cnn_jax import data, models
from cnn_jax.config.parsing import parse
from cnn_jax.data.device import pipeline
from cnn_jax.ops import GeometryError
from cnn_jax.train.restore import FinishedRun

PADDINGS = ("VALID", "SAME", "SAME_LOWER", "TORCH", "REFLECT", "REPLICATE", "CIRCULAR")
NORMS = ("none", "batch", "group", "layer")
VERSIONS = ("own", *PADDINGS, *(f"{norm} norm" for norm in NORMS))
COMBINATIONS = "combinations"
"""Name of the versions whose padding and norm both differ from the network's own."""
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
SIZES = {1: range(28, 33, 4), 3: range(32, 513, 8)}
"""Sides in pixels of images of so many channels; a version takes the least that is legal."""
CLASSES = 10
LARGEST_BATCH = 500
# Group norm's eight groups do not divide LeNet-5's 6 maps, nor a wide choice of others'.
_GROUPS = {"lenet5": 2}


def versions(name: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Gives a network's versions: its own, one for each other padding and each other norm, then those of both.

    Args:
      name: One of NETWORKS.

    Returns:
      (name, model section) of each.
    """
    model = NETWORKS[name][0]
    own = parse({"model": model}).model
    paddings = [(padding, {"padding": padding}) for padding in PADDINGS if padding != own.padding]
    groups = _GROUPS.get(name, 8)
    norms = [(f"{norm} norm", {"norm": norm, "norm_groups": groups}) for norm in NORMS if norm != own.norm]
    yield "own", model
    for version, other in (*paddings, *norms):
        yield version, model | other
    for (padding, other), (norm, another) in itertools.product(paddings, norms):
        yield f"{padding}, {norm}", model | other | another


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
    network = models.create(parse({"model": model}).model, CLASSES)
    for size in SIZES[channels]:
        try:
            network.layers((size, size, channels))
        except GeometryError as error:
            fault = error
        else:
            return size, size, channels
    raise fault


@functools.lru_cache(1)
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

    The last kernel or scale of each residual block is a tenth of what is drawn, as where training starts from blocks
    near the identity; batch norms have the statistics of 100 images; and each class's logits have a mean of 0 and a
    standard deviation of at most 1 over 500 images. Without residual blocks each batch norm and the ReLU after it
    multiply differences, those of rounding too, by about 1.2; with biases near 1, as drawn here, by about 1.06.

    Args:
      model: Model section of the config.
      pixels: Images, uint8 [n, height, width, channels].
    """
    image_shape = (pixels.shape[1], pixels.shape[2], pixels.shape[3])
    run = untrained_run(model, image_shape, {"eval_batch_size": LARGEST_BATCH}, CLASSES)
    variables = {**run.variables, "params": _calmed(run.variables["params"], "batch_stats" in run.variables)}
    if "batch_stats" in variables:
        variables["batch_stats"] = _statistics(run, variables, pixels[:100])
    run = dataclasses.replace(run, variables=variables)
    logits = run.logits(pixels[:500])
    last = next(row.name for row in reversed(run.config.network.layers(image_shape)) if row.parameters)

    def standardised(path: Any, leaf: Any) -> Any:
        name = _name(path)
        if name == f"{last}/bias":
            leaf = leaf - logits.mean(axis=0)
        return leaf / np.maximum(logits.std(axis=0), 1) if name in (f"{last}/kernel", f"{last}/bias") else leaf

    params = jax.tree_util.tree_map_with_path(standardised, variables["params"])
    return dataclasses.replace(run, variables={**variables, "params": params})


def _name(path: Any) -> str:
    return "/".join(entry.key for entry in path)


def _calmed(params: Any, batch_norm: bool) -> Any:
    """Scales the ends of residual blocks to a tenth; without them moves the biases of batch norms by 1."""
    names = {_name(path) for path, _ in jax.tree_util.tree_leaves_with_path(params)}
    residual = any(name.startswith("stage1_block1/") for name in names)

    def calmed(path: Any, leaf: Any) -> Any:
        name = _name(path)
        if not residual:
            return leaf + 1 if batch_norm and name.endswith("norm/bias") else leaf
        block, _, rest = name.partition("/")
        last = "conv3" if f"{block}/conv3/kernel" in names else "conv2"
        end = f"{last}/norm/scale" if f"{block}/{last}/norm/scale" in names else f"{last}/kernel"
        return leaf * 0.1 if block.startswith("stage") and rest == end else leaf

    return jax.tree_util.tree_map_with_path(calmed, params)


def _statistics(run: FinishedRun, variables: Any, pixels: np.ndarray) -> Any:
    """Gives batch norms' statistics of a batch."""
    section = run.experiment.model.model_copy(update={"norm_momentum": 0.0, "aux_heads": False})
    images = pipeline.normalize(jnp.asarray(pixels), run.normalization)
    network = models.create(section, CLASSES)
    apply = jax.jit(lambda given: network.apply(given, images, train=True, key=jax.random.key(0))[2])
    return apply.lower(variables).compile(QUICK)(variables)  # it runs once
