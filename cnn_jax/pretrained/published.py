"""Networks whose weights are published: their configs, and the preprocessing of the pictures that they were trained on.

Sources: torchvision 0.28, `torchvision.models.get_model_weights(NAME)` and `.transforms()`; timm 1.0, `pretrained_cfg`.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping
from importlib import resources
from typing import Any, Literal

from cnn_jax.config.model import (
    ResNet,
    SqueezeNet10,
    SqueezeNet11,
    TorchvisionAlexNet,
    TorchvisionGoogLeNet,
)
from cnn_jax.config.networks import (
    ConvNeXt,
    DenseNet,
    EfficientNet,
    InceptionV3,
    MobileNetV2,
    MobileNetV3Large,
    MobileNetV3Small,
    Network,
    Vgg,
)

_IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
_HALF = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))  # pixels in -1 to 1


@dataclasses.dataclass(frozen=True)
class Preprocessing:
    """How a picture becomes what a network sees.

    Attributes:
      shorter_side: Length of the picture's shorter side after resizing, in pixels.
      side: Side of the middle that is taken, in pixels.
      interpolation: Filter of the resizing.
      mean, std: Constants that normalize pixels of 0 to 1, by channel.
    """

    shorter_side: int = 256
    side: int = 224
    interpolation: Literal["bilinear", "bicubic"] = "bilinear"
    mean: tuple[float, float, float] = _IMAGENET[0]
    std: tuple[float, float, float] = _IMAGENET[1]


@dataclasses.dataclass(frozen=True)
class Published:
    """A network whose weights are published.

    Attributes:
      config: Its config.
      preprocessing: That of torchvision's weights.
      by_file: Shorter sides of torchvision's later weights, by the digits of a checksum in their files' names.
      timm: Preprocessing of timm's weights of timm's names; None where they have torchvision's names.
      timm_fields: Fields of the config that are others for timm's weights.
    """

    config: Network
    preprocessing: Preprocessing = Preprocessing()
    by_file: Mapping[str, int] = dataclasses.field(default_factory=dict)
    timm: Preprocessing | None = None
    timm_fields: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def for_file(self, file_name: str, library: str) -> Preprocessing:
        """The preprocessing of a file's weights.

        Args:
          file_name: The file's name.
          library: Library whose names the weights have.
        """
        if library == "timm" and self.timm is not None:
            return self.timm
        for digits, shorter_side in self.by_file.items():
            if digits in file_name:
                return dataclasses.replace(self.preprocessing, shorter_side=shorter_side)
        return self.preprocessing

    def config_for(self, names: Mapping[str, Any], library: str) -> Network:
        """The config for weights of these names: with auxiliary classifiers where the weights have them."""
        changes: dict[str, Any] = dict(self.timm_fields) if library == "timm" else {}
        if hasattr(self.config, "aux_heads"):
            changes["aux_heads"] = any(name.lower().startswith("aux") for name in names)
        return self.config.model_copy(update=changes)


_BICUBIC = Preprocessing(interpolation="bicubic")


def _wide(depth: Literal[50, 101], width: int, groups: int = 1) -> ResNet:
    return ResNet(depth=depth, bottleneck_width=width, bottleneck_groups=groups)


def _vggs() -> dict[str, Published]:
    return {
        f"vgg{depth}{'_bn' * batch}": Published(
            Vgg(depth=depth, norm="batch" if batch else "none"), timm=Preprocessing()
        )
        for depth in (11, 13, 16, 19)
        for batch in (False, True)
    }


# By torchvision's names.
PUBLISHED: dict[str, Published] = {
    "alexnet": Published(TorchvisionAlexNet()),
    "googlenet": Published(TorchvisionGoogLeNet(), Preprocessing(mean=_HALF[0], std=_HALF[1])),
    "inception_v3": Published(InceptionV3(), Preprocessing(342, 299, mean=_HALF[0], std=_HALF[1])),
    "squeezenet1_0": Published(SqueezeNet10()),
    "squeezenet1_1": Published(SqueezeNet11()),
    **_vggs(),
    "resnet18": Published(ResNet(depth=18)),
    "resnet34": Published(ResNet(depth=34)),
    "resnet50": Published(ResNet(depth=50), by_file={"11ad3fa6": 232}),
    "resnet101": Published(ResNet(depth=101), by_file={"cd907fc2": 232}),
    "resnet152": Published(ResNet(depth=152), by_file={"f82ba261": 232}),
    "resnext50_32x4d": Published(_wide(50, 2, 32), by_file={"1a0047aa": 232}),
    "resnext101_32x8d": Published(_wide(101, 4, 32), by_file={"110c445d": 232}),
    "resnext101_64x4d": Published(_wide(101, 4, 64), Preprocessing(232)),
    "wide_resnet50_2": Published(_wide(50, 2), by_file={"9ba9bcbe": 232}),
    "wide_resnet101_2": Published(_wide(101, 2), by_file={"d733dc28": 232}),
    "densenet121": Published(DenseNet()),
    "densenet161": Published(DenseNet(blocks=(6, 12, 36, 24), growth=48, stem_features=96)),
    "densenet169": Published(DenseNet(blocks=(6, 12, 32, 32))),
    "densenet201": Published(DenseNet(blocks=(6, 12, 48, 32))),
    "mobilenet_v2": Published(MobileNetV2(), by_file={"7ebf99e0": 232}, timm=_BICUBIC),
    "mobilenet_v3_large": Published(
        MobileNetV3Large(), by_file={"5c1a4163": 232}, timm=_BICUBIC, timm_fields={"norm_eps": 1e-5}
    ),
    "mobilenet_v3_small": Published(MobileNetV3Small(), timm=_BICUBIC, timm_fields={"norm_eps": 1e-5}),
    "efficientnet_b0": Published(EfficientNet(), _BICUBIC, timm=_BICUBIC),
    "convnext_tiny": Published(ConvNeXt(), Preprocessing(236), timm=Preprocessing(235, interpolation="bicubic")),
}


@functools.cache
def imagenet_classes() -> tuple[str, ...]:
    """The names of ImageNet's 1000 classes in the order of published networks' logits.

    Source: `torchvision.models._meta._IMAGENET_CATEGORIES`, torchvision 0.28.
    """
    text = resources.files("cnn_jax.pretrained").joinpath("imagenet_classes.txt").read_text(encoding="utf-8")
    return tuple(text.splitlines())
