"""The names that torchvision and timm have for the layers of VGG, Inception v3, DenseNet and ConvNeXt."""

from __future__ import annotations

import re

from cnn_jax.config.networks import Network, Vgg
from cnn_jax.pretrained.name_scheme import Layer, Names

# --- VGG -----------------------------------------------------------------------------------------------


def _vgg_convolutions(config: Network, layer: Layer) -> str | None:
    """The place in torchvision's sequence: a convolution, its norm, a rectifier, and a pooling after each stage."""
    found = re.fullmatch(r"conv(\d)_(\d)", layer[0])
    if found is None or not isinstance(config, Vgg):
        return None
    from cnn_jax.models.vgg import CONVOLUTIONS

    counts, (stage, number) = CONVOLUTIONS[config.depth], (int(found[1]), int(found[2]))
    parts = 2 if config.norm == "none" else 3
    place = parts * (sum(counts[: stage - 1]) + number - 1) + stage - 1
    return f"features.{place + len(layer) - 1}"


def _vgg(config: Network, layer: Layer) -> str | None:
    heads = {"dense1": 0, "dense2": 3, "logits": 6}
    match layer:
        case ("head", dense) if dense in heads:
            return f"classifier.{heads[dense]}"
    return _vgg_convolutions(config, layer)


def _vgg_timm(config: Network, layer: Layer) -> str | None:
    heads = {"dense1": "pre_logits.fc1", "dense2": "pre_logits.fc2", "logits": "head.fc"}
    match layer:
        case ("head", dense) if dense in heads:
            return heads[dense]
    return _vgg_convolutions(config, layer)


VGG = (
    Names("torchvision", _vgg, "conv1_1"),
    Names("timm", _vgg_timm, "conv1_1", {"dense1": "conv", "dense2": "conv"}),
)

# --- Inception v3 --------------------------------------------------------------------------------------

_STEM = {
    "conv1a": "Conv2d_1a_3x3",
    "conv2a": "Conv2d_2a_3x3",
    "conv2b": "Conv2d_2b_3x3",
    "conv3b": "Conv2d_3b_1x1",
    "conv4a": "Conv2d_4a_3x3",
    "aux_conv1": "AuxLogits.conv0",
    "aux_conv2": "AuxLogits.conv1",
}


def _inception_v3(config: Network, layer: Layer) -> str | None:
    match layer:
        case ("head", "logits"):
            return "fc"
        case ("aux_head", "logits"):
            return "AuxLogits.fc"
        case (conv, *norm) if conv in _STEM:
            return f"{_STEM[conv]}.{'bn' if norm else 'conv'}"
        case (module, branch, *norm) if module.startswith("mixed"):
            return f"Mixed_{module.removeprefix('mixed')}.{branch}.{'bn' if norm else 'conv'}"
    return None


INCEPTION_V3 = (Names("torchvision and timm", _inception_v3, "conv1a"),)

# --- DenseNet ------------------------------------------------------------------------------------------


def _densenet(config: Network, layer: Layer) -> str | None:
    match layer:
        case ("stem", *norm):
            return "features.norm0" if norm else "features.conv0"
        case ("last", "norm"):
            return "features.norm5"
        case ("head", "logits"):
            return "classifier"
        case (transition, *norm) if transition.startswith("transition"):
            return f"features.{transition}.{'norm' if norm else 'conv'}"
    found = re.fullmatch(r"block(\d+)_layer(\d+)", layer[0])
    match layer[1:]:
        case (conv, *norm) if found and conv.startswith("conv"):
            return f"features.denseblock{found[1]}.denselayer{found[2]}.{'norm' if norm else 'conv'}{conv[-1]}"
    return None


DENSENET = (
    Names("torchvision and timm", _densenet, renamed=((r"(denselayer\d+\.(?:norm|conv))\.([12]\.)", r"\1\2"),)),
)

# --- ConvNeXt ------------------------------------------------------------------------------------------


def _convnext(config: Network, layer: Layer) -> str | None:
    parts = {"depthwise": "block.0", "expand": "block.3", "project": "block.5", "layer_scale": "layer_scale"}
    match layer:
        case ("stem", *norm):
            return f"features.0.{len(norm)}"
        case ("head", "norm"):
            return "classifier.0"
        case ("head", "logits"):
            return "classifier.2"
        case (downsample, *norm) if downsample.startswith("downsample"):
            return f"features.{2 * int(downsample[-1]) - 2}.{0 if norm else 1}"
    found = re.fullmatch(r"stage(\d)_block(\d+)", layer[0])
    match layer[1:]:
        case (part, *norm) if found and part in parts:
            name = "block.2" if norm else parts[part]
            return f"features.{2 * int(found[1]) - 1}.{int(found[2]) - 1}.{name}"
    return None


def _convnext_timm(config: Network, layer: Layer) -> str | None:
    parts = {"depthwise": "conv_dw", "expand": "mlp.fc1", "project": "mlp.fc2", "layer_scale": "gamma"}
    match layer:
        case ("stem", *norm):
            return f"stem.{len(norm)}"
        case ("head", "norm"):
            return "head.norm"
        case ("head", "logits"):
            return "head.fc"
        case (downsample, *norm) if downsample.startswith("downsample"):
            return f"stages.{int(downsample[-1]) - 1}.downsample.{0 if norm else 1}"
    found = re.fullmatch(r"stage(\d)_block(\d+)", layer[0])
    match layer[1:]:
        case (part, *norm) if found and part in parts:
            name = "norm" if norm else parts[part]
            return f"stages.{int(found[1]) - 1}.blocks.{int(found[2]) - 1}.{name}"
    return None


CONVNEXT = (
    Names("torchvision", _convnext, kept={"expand": "dense", "project": "dense", "layer_scale": "factors"}),
    Names("timm", _convnext_timm, kept={"expand": "dense", "project": "dense"}),
)
