"""Checks the published networks and draws `docs/gallery`: `make gallery`, or `python -m scripts.gallery.draw`."""

from __future__ import annotations

import dataclasses
import io
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import jax
import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from cnn_jax.inspect import activation_maximization, patches, patches_pictures
from cnn_jax.inspect.activation_pictures import maximized
from cnn_jax.inspect.attribution import batch_size
from cnn_jax.inspect.class_maps import class_maps
from cnn_jax.inspect.kernel_pictures import kernel_sheet
from cnn_jax.inspect.kernels import learned_kernels
from cnn_jax.inspect.map_pictures import class_map_panels
from cnn_jax.inspect.reconstruction import STANDARD_RULES
from cnn_jax.ops.activation import ReluBackward
from scripts.gallery import networks
from scripts.gallery.fetch import Content, FetchError, fetch
from scripts.gallery.networks import Published
from scripts.gallery.resemblance import resemblance

ROOT = Path(__file__).parents[2]
SOURCES, PICTURES = ROOT / ".gallery", ROOT / "docs" / "gallery"
LEAST_TOP5 = 18  # of foolbox's 20 photographs
LARGEST_PICTURE = 260_000  # bytes
SCALES = (1, 1.5, 2, 3)  # squares that a photograph's shorter side holds
ALEXNET_LAYERS = tuple(f"conv{number}/activation" for number in range(1, 6))
SQUEEZENET_LAYERS = ("conv1/activation", "fire3/concat", "fire5/concat", "fire7/concat", "fire9/concat")
CHANNELS = 6  # of each layer
RULES: tuple[ReluBackward, ...] = (*STANDARD_RULES, "gradient")  # whose resemblance to the patches is printed
SIDE = 1.7  # inches of the nine patches of a channel
# The photographs whose classes are looked into, with the classes that SqueezeNet finds in them.
CLASSES = {"chelsea": (285, "Egyptian cat"), "coffee": (967, "espresso"), "china": (832, "stupa")}
MAXIMIZED = {
    8: "hen",
    130: "flamingo",
    285: "Egyptian cat",
    323: "monarch",
    340: "zebra",
    937: "broccoli",
    951: "lemon",
    980: "volcano",
}


def main() -> int:
    """Checks, draws, and returns the exit code."""
    try:
        content = fetch(SOURCES)
        alexnet, squeezenet = networks.alexnet(content.alexnet), networks.squeezenet(content.squeezenet)
    except FetchError as error:
        print(f"make gallery: {error}", file=sys.stderr)
        return 1
    first, fifth = accuracy(squeezenet, content.labelled)
    count = len(content.labelled)
    print(f"SqueezeNet 1.1 on foolbox's {count} photographs: top-1 {first}, top-5 {fifth}")
    if fifth < LEAST_TOP5:
        print(f"make gallery: expected at least {LEAST_TOP5} of {count} in the top 5", file=sys.stderr)
        return 1
    PICTURES.mkdir(exist_ok=True)
    for name, figure in figures(content, alexnet, squeezenet):
        size = _save(figure, PICTURES / f"{name}.jpg")
        print(f"docs/gallery/{name}.jpg: {size / 1000:.0f} KB")
    return 0


def accuracy(network: Published, labelled: Sequence[tuple[Path, int]]) -> tuple[int, int]:
    """Counts the photographs whose class is the network's first answer, and those whose class is among its first five.

    Args:
      network: The network.
      labelled: Photographs and their classes.
    """
    pixels = np.stack([networks.squared(networks.read(path), network.side) for path, _ in labelled])
    order = np.argsort(-networks.logits(network, pixels), axis=1)
    right = order == np.array([label for _, label in labelled])[:, None]
    return int(right[:, 0].sum()), int(right[:, :5].sum())


def figures(content: Content, alexnet: Published, squeezenet: Published) -> Iterator[tuple[str, Figure]]:
    """Draws every figure.

    Args:
      content: Photographs.
      alexnet, squeezenet: The networks.

    Yields:
      Names of files, without ending, and figures.
    """
    yield "alexnet_kernels", kernel_sheet(learned_kernels(alexnet.model, alexnet.variables, (224, 224, 3))[0])
    photographs = {name: networks.read(path) for name, path in content.photographs.items()}
    for network, layers, name in (
        (alexnet, ALEXNET_LAYERS, "alexnet"),
        (squeezenet, SQUEEZENET_LAYERS, "squeezenet"),
    ):
        for layer, figure in patch_figures(network, photographs.values(), layers):
            yield f"{name}_{layer.partition('/')[0]}", figure
    yield from attribution_figures(squeezenet, photographs)
    yield "squeezenet_classes", maximized_figure(squeezenet)


def patch_figures(
    network: Published, photographs: Iterable[Image.Image], layers: Sequence[str]
) -> Iterator[tuple[str, Figure]]:
    """Draws the strongest patches of some channels of layers beside their reconstructions.

    Args:
      network: The network.
      photographs: Photographs, which are cut into squares at several scales.
      layers: Names of the layers.

    Yields:
      Names of layers, and figures.
    """
    images = network.normalized(networks.crops(photographs, network.side, SCALES))
    channels = selective_channels(network, images, layers, CHANNELS)
    to_pixels = patches.denormalizing(network.normalization)
    for found in patches.top_patches(network.model, network.variables, [images], to_pixels, channels, rules=RULES):
        close = ", ".join(f"{rule} {resemblance(found, rule):.2f}" for rule in RULES)
        print(f"{network.title}, {found.units.layer}: correlation of reconstructions with patches: {close}", flush=True)
        shown = {rule: found.reconstructions[rule] for rule in STANDARD_RULES}
        title = f"{network.title}, {found.units.layer}: strongest patches of {CHANNELS} channels"
        figure = patches_pictures.sheet(dataclasses.replace(found, reconstructions=shown), title, side=SIDE)
        yield found.units.layer, figure


def selective_channels(
    network: Published, images: np.ndarray, layers: Sequence[str], count: int
) -> Mapping[str, Sequence[int]]:
    """Chooses the channels whose nine strongest images stand out most from all images.

    Of the half of a layer's channels that respond more strongly to their nine, those are taken whose nine are the
    largest multiple of the mean over all images; a response to an image is the largest of its map.

    Args:
      network: The network.
      images: Normalised images.
      layers: Names of layers.
      count: Number of channels of each.

    Returns:
      Numbers of channels, in rising order, by layer.
    """
    apply = jax.jit(
        lambda v, x: {n: y.max((1, 2)) for n, y in network.model.apply_with_layers(v, x, layers)[3].items()}
    )
    size = batch_size(images.shape[1:3], len(images))
    parts = [apply(network.variables, images[start : start + size]) for start in range(0, len(images), size)]
    chosen = {}
    for layer in layers:
        responses = np.sort(np.concatenate([part[layer] for part in parts]), axis=0)
        strongest, mean = responses[-9:].mean(axis=0), responses.mean(axis=0)
        ratio = np.where(strongest >= np.median(strongest), strongest / np.maximum(mean, 1e-6), 0)
        chosen[layer] = np.sort(np.argsort(-ratio, kind="stable")[:count]).tolist()
    return chosen


def attribution_figures(network: Published, photographs: Mapping[str, Image.Image]) -> Iterator[tuple[str, Figure]]:
    """Draws the pixels that the found class depends on.

    Args:
      network: The network.
      photographs: Photographs by name.

    Yields:
      Names of files, and figures.
    """
    pixels = np.stack([networks.squared(photographs[name], network.side) for name in CLASSES])
    classes = np.array([number for number, _ in CLASSES.values()])
    found = networks.logits(network, pixels).argmax(axis=1)
    if (found != classes).any():
        raise ValueError(f"SqueezeNet finds the classes {found.tolist()}, expected {classes.tolist()}")
    maps = class_maps(network.model, network.variables, network.normalized(pixels), classes, jax.random.key(0))
    for name, each, picture in zip(CLASSES, maps.maps, pixels, strict=True):
        yield f"squeezenet_{name}", class_map_panels(each, picture)


def maximized_figure(network: Published) -> Figure:
    """Draws pictures that raise the logits of some classes."""
    rows = network.model.layers((network.side, network.side, 3))
    names = [MAXIMIZED.get(number, str(number)) for number in range(1000)]
    (found,) = activation_maximization.maximize(
        network.model,
        network.variables,
        network.normalization,
        (network.side, network.side, 3),
        {rows[-1].name: tuple(MAXIMIZED)},
        jax.random.key(0),
    )
    return maximized(found, names)


def _save(figure: Figure, path: Path) -> int:
    """Writes a figure as JPEG, of the best quality that is small enough, and gives its size in bytes."""
    drawn = io.BytesIO()
    figure.savefig(drawn, format="png")
    picture = Image.open(drawn).convert("RGB")
    for quality in (90, 85, 80, 75, 70):
        picture.save(path, quality=quality, subsampling=0, optimize=True)
        if path.stat().st_size <= LARGEST_PICTURE:
            break
    return path.stat().st_size


if __name__ == "__main__":
    sys.exit(main())
