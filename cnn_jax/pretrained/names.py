"""The names that torchvision and timm have for the layers of our networks."""

from __future__ import annotations

import re
from collections.abc import Callable

from cnn_jax.config.networks import Network
from cnn_jax.pretrained.later_names import CONVNEXT, DENSENET, INCEPTION_V3, VGG
from cnn_jax.pretrained.mobile_names import EFFICIENTNET, MOBILENET_V2, MOBILENET_V3
from cnn_jax.pretrained.name_scheme import Layer, Names


def _alexnet(config: Network, layer: Layer) -> str | None:
    places = {"conv1": 0, "conv2": 3, "conv3": 6, "conv4": 8, "conv5": 10}
    heads = {"dense1": 1, "dense2": 4, "logits": 6}
    match layer:
        case (conv,) if conv in places:
            return f"features.{places[conv]}"
        case ("head", dense) if dense in heads:
            return f"classifier.{heads[dense]}"
    return None


def _googlenet(config: Network, layer: Layer) -> str | None:
    stem = {"conv1": "conv1", "conv2_reduce": "conv2", "conv2": "conv3"}
    branches = {
        "branch1": "branch1",
        "branch2_reduce": "branch2.0",
        "branch2": "branch2.1",
        "branch3_reduce": "branch3.0",
        "branch3": "branch3.1",
        "branch4": "branch4.1",
    }
    match layer:
        case (conv, *norm) if conv in stem:
            return f"{stem[conv]}.{_conv_or_norm(norm)}"
        case (module, branch, *norm) if branch in branches:
            return f"{module}.{branches[branch]}.{_conv_or_norm(norm)}"
        case (aux, "conv", *norm) if aux.startswith("aux"):
            return f"{aux}.conv.{_conv_or_norm(norm)}"
        case (aux, "head", dense) if aux.startswith("aux"):
            return f"{aux}.{'fc1' if dense == 'dense1' else 'fc2'}"
        case ("head", "logits"):
            return "fc"
    return None


def _conv_or_norm(rest: list[str]) -> str:
    return "bn" if rest else "conv"


def _squeezenet(fires: tuple[int, ...]) -> Callable[[Network, Layer], str | None]:
    """Makes the function of a version, whose fire modules stand at these places of torchvision's sequence."""
    places = {f"fire{number}": place for number, place in enumerate(fires, start=2)}

    def torch_name(config: Network, layer: Layer) -> str | None:
        match layer:
            case ("conv1",):
                return "features.0"
            case (fire, ("squeeze" | "expand1x1" | "expand3x3") as conv) if fire in places:
                return f"features.{places[fire]}.{conv}"
            case ("head", "logits"):
                return "classifier.1"
        return None

    return torch_name


def _resnet(config: Network, layer: Layer) -> str | None:
    match layer:
        case ("stem",):
            return "conv1"
        case ("stem", "norm"):
            return "bn1"
        case ("head", "logits"):
            return "fc"
    block = re.fullmatch(r"stage(\d)_block(\d+)", layer[0])
    if block is None:
        return None
    place = f"layer{block[1]}.{int(block[2]) - 1}"
    match layer[1:]:
        case ("shortcut", *norm):
            return f"{place}.downsample.{len(norm)}"
        case (conv, *norm) if conv.startswith("conv"):
            return f"{place}.{'bn' if norm else 'conv'}{conv[-1]}"
    return None


_BOTH = "torchvision and timm"

# By the networks' names: the libraries' names, torchvision's first.
NAMES: dict[str, tuple[Names, ...]] = {
    "alexnet_torchvision": (Names("torchvision", _alexnet, "conv1"),),
    "googlenet_torchvision": (Names("torchvision", _googlenet, "conv1"),),
    "squeezenet1_0": (Names("torchvision", _squeezenet((3, 4, 5, 7, 8, 9, 10, 12)), "conv1"),),
    "squeezenet1_1": (Names("torchvision", _squeezenet((3, 4, 6, 7, 9, 10, 11, 12)), "conv1"),),
    "resnet": (Names(_BOTH, _resnet),),
    "vgg": VGG,
    "inception_v3": INCEPTION_V3,
    "densenet": DENSENET,
    "mobilenet_v2": MOBILENET_V2,
    "mobilenet_v3_large": MOBILENET_V3,
    "mobilenet_v3_small": MOBILENET_V3,
    "efficientnet": EFFICIENTNET,
    "convnext": CONVNEXT,
}
ENTRY_NAMES = {
    "kernel": ".weight",
    "scale": ".weight",
    "bias": ".bias",
    "mean": ".running_mean",
    "variance": ".running_var",
    "gamma": "",
}
COUNTER = "num_batches_tracked"  # PyTorch's, beside each running mean
AVERAGED = "n_averaged"  # PyTorch's, in the weights of an AveragedModel
