"""The names that torchvision, timm and others have for the layers of MobileNets and EfficientNet.

torchvision numbers the parts of a block, of which some blocks lack the first or the gate; timm names them, otherwise
where there is no first part.
"""

from __future__ import annotations

import re

from cnn_jax.blocks import make_divisible
from cnn_jax.config.networks import EfficientNet, MobileNetV2, MobileNetV3Large, MobileNetV3Small, Network
from cnn_jax.models import mobilenet_v3
from cnn_jax.pretrained.name_scheme import Layer, Names

_TIMM_STAGES = {  # number of blocks in each of timm's stages
    "mobilenet_v3_large": (1, 2, 3, 4, 2, 3),
    "mobilenet_v3_small": (1, 2, 3, 2, 3),
}


def _staged(block: str) -> tuple[int, int] | None:
    """Numbers of a stage and of a block in it, from 1."""
    found = re.fullmatch(r"stage(\d)_block(\d+)", block)
    return (int(found[1]), int(found[2])) if found else None


# --- torchvision ---------------------------------------------------------------------------------------


def _mobilenet_v2(config: Network, layer: Layer) -> str | None:
    assert isinstance(config, MobileNetV2)
    blocks = sum(config.blocks)
    match layer:
        case ("stem", *norm):
            return f"features.0.{len(norm)}"
        case ("last", *norm):
            return f"features.{blocks + 1}.{len(norm)}"
        case ("head", "logits"):
            return "classifier.1"
    if (found := _staged(layer[0])) is None:
        return None
    stage, number = found
    place = f"features.{sum(config.blocks[: stage - 1]) + number}.conv"
    parts = ("expand", "depthwise", "project") if stage > 1 and config.expansion > 1 else ("depthwise", "project")
    match layer[1:]:
        case ("project", *norm):
            return f"{place}.{len(parts) - 1 + len(norm)}"
        case (part, *norm) if part in parts:
            return f"{place}.{parts.index(part)}.{len(norm)}"
    return None


def _block_part(layer: Layer, expands: bool, squeezes: bool) -> str | None:
    """The part of a block of MobileNetV3 and EfficientNet, after the block's own name."""
    parts = ("expand",) * expands + ("depthwise",) + ("squeeze",) * squeezes + ("project",)
    match layer:
        case ("squeeze", ("reduce" | "expand") as conv):
            return f"block.{parts.index('squeeze')}.{'fc1' if conv == 'reduce' else 'fc2'}"
        case (part, *norm) if part in parts:
            return f"block.{parts.index(part)}.{len(norm)}"
    return None


def _v3_block(config: MobileNetV3Large | MobileNetV3Small, block: str) -> tuple[int, bool, bool] | None:
    """The number of a block, from 1, whether it expands its input, and whether it has a gate."""
    found = re.fullmatch(r"block(\d+)", block)
    if found is None:
        return None
    number, rows = int(found[1]), mobilenet_v3.ROWS[config.name]
    before = rows[number - 2].features if number > 1 else mobilenet_v3.STEM_FEATURES
    expands = make_divisible(config.width * rows[number - 1].expanded) != make_divisible(config.width * before)
    return number, expands, rows[number - 1].squeezes and config.squeeze_ratio > 0


def _mobilenet_v3(config: Network, layer: Layer) -> str | None:
    assert isinstance(config, MobileNetV3Large | MobileNetV3Small)
    match layer:
        case ("stem", *norm):
            return f"features.0.{len(norm)}"
        case ("last", *norm):
            return f"features.{config.modules + 1}.{len(norm)}"
        case ("head", ("dense1" | "logits") as dense):
            return "classifier.0" if dense == "dense1" else "classifier.3"
    if (found := _v3_block(config, layer[0])) is None:
        return None
    number, expands, squeezes = found
    part = _block_part(layer[1:], expands, squeezes)
    return part and f"features.{number}.{part}"


def _efficientnet(config: Network, layer: Layer) -> str | None:
    assert isinstance(config, EfficientNet)
    match layer:
        case ("stem", *norm):
            return f"features.0.{len(norm)}"
        case ("last", *norm):
            return f"features.{sum(count > 0 for count in config.blocks) + 1}.{len(norm)}"
        case ("head", "logits"):
            return "classifier.1"
    if (found := _staged(layer[0])) is None:
        return None
    stage, number = found
    part = _block_part(layer[1:], stage > 1 and config.expansion > 1, config.squeeze_ratio > 0)
    place = sum(count > 0 for count in config.blocks[:stage])
    return part and f"features.{place}.{number - 1}.{part}"


# --- timm ----------------------------------------------------------------------------------------------


def _timm_ends(layer: Layer) -> str | None:
    match layer:
        case ("stem", *norm):
            return "bn1" if norm else "conv_stem"
        case ("last", *norm):
            return "bn2" if norm else "conv_head"
        case ("head", "logits"):
            return "classifier"
    return None


def _timm_part(layer: Layer, expands: bool) -> str | None:
    """The part of a block, after the block's own name."""
    names = {"depthwise": "conv_dw", "project": "conv_pw"}
    numbers = {"depthwise": 1, "project": 2}
    if expands:
        names = {"expand": "conv_pw", "depthwise": "conv_dw", "project": "conv_pwl"}
        numbers = {"expand": 1, "depthwise": 2, "project": 3}
    match layer:
        case ("squeeze", ("reduce" | "expand") as conv):
            return f"se.conv_{conv}"
        case (part, *norm) if part in names:
            return f"bn{numbers[part]}" if norm else names[part]
    return None


def _timm_staged(config: Network, layer: Layer) -> str | None:
    """MobileNetV2 and EfficientNet."""
    assert isinstance(config, MobileNetV2 | EfficientNet)
    found = _staged(layer[0])
    if found is None:
        return _timm_ends(layer)
    stage, number = found
    part = _timm_part(layer[1:], stage > 1 and config.expansion > 1)
    return part and f"blocks.{stage - 1}.{number - 1}.{part}"


def _timm_v3(config: Network, layer: Layer) -> str | None:
    assert isinstance(config, MobileNetV3Large | MobileNetV3Small)
    stages = _TIMM_STAGES[config.name]
    match layer:
        case ("last", *norm):  # a stage of its own
            return f"blocks.{len(stages)}.0.{'bn1' if norm else 'conv'}"
        case ("head", "dense1"):
            return "conv_head"
    if (found := _v3_block(config, layer[0])) is None:
        return _timm_ends(layer)
    number, expands, _ = found
    stage = next(stage for stage in range(len(stages)) if number <= sum(stages[: stage + 1]))
    part = _timm_part(layer[1:], expands)
    return part and f"blocks.{stage}.{number - 1 - sum(stages[:stage])}.{part}"


# --- older and other files ------------------------------------------------------------------------------


def _flat_v2(config: Network, layer: Layer) -> str | None:
    """The first ones in PyTorch, torchvision's too: the parts of a block are numbered in a row."""
    assert isinstance(config, MobileNetV2)
    if (found := _staged(layer[0])) is None:
        return _mobilenet_v2(config, layer)
    stage, number = found
    parts = ("expand", "depthwise", "project") if stage > 1 and config.expansion > 1 else ("depthwise", "project")
    match layer[1:]:
        case (part, *norm) if part in parts:  # convolution, norm, activation
            place = sum(config.blocks[: stage - 1]) + number
            return f"features.{place}.conv.{3 * parts.index(part) + len(norm)}"
    return None


def _efficientnet_pytorch(config: Network, layer: Layer) -> str | None:
    """Those of the package efficientnet_pytorch: blocks numbered in a row."""
    assert isinstance(config, EfficientNet)
    match layer:
        case ("stem", *norm):
            return "_bn0" if norm else "_conv_stem"
        case ("last", *norm):
            return "_bn1" if norm else "_conv_head"
        case ("head", "logits"):
            return "_fc"
    if (found := _staged(layer[0])) is None:
        return None
    stage, number = found
    block = f"_blocks.{sum(config.blocks[: stage - 1]) + number - 1}"
    parts = ("expand", "depthwise", "project")
    match layer[1:]:
        case ("squeeze", ("reduce" | "expand") as conv):
            return f"{block}._se_{conv}"
        case (part, *norm) if part in parts:
            return f"{block}._bn{parts.index(part)}" if norm else f"{block}._{part}_conv"
    return None


MOBILENET_V2 = (
    Names("torchvision", _mobilenet_v2),
    Names("timm", _timm_staged),
    Names("early torchvision", _flat_v2),
)
MOBILENET_V3 = (Names("torchvision", _mobilenet_v3), Names("timm", _timm_v3, kept={"dense1": "conv"}))
EFFICIENTNET = (
    Names("torchvision", _efficientnet),
    Names("timm", _timm_staged),
    Names("efficientnet_pytorch", _efficientnet_pytorch),
)
