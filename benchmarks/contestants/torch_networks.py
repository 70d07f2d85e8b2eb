"""The networks in PyTorch, laid out as torchvision's are, which cannot be installed beside every PyTorch."""

from __future__ import annotations

import functools
from collections.abc import Mapping

import numpy as np
import torch
from layouts import CONVNEXT_TINY, INCEPTIONS, RESNET18, RESNET50, VGG16
from torch import nn


def cnn(classes: int) -> nn.Module:
    """The lecture's, for 28x28x1."""
    return nn.Sequential(
        nn.Conv2d(1, 32, 3),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(32, 64, 3),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(64, 64, 3),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(576, 64),
        nn.ReLU(),
        nn.Linear(64, classes),
    )


def alexnet(classes: int) -> nn.Module:
    """Torchvision's AlexNet, for 224x224x3."""

    def convolution(inputs: int, features: int, kernel: int, stride: int = 1) -> list[nn.Module]:
        padding = 2 if kernel > 3 else 1
        return [nn.Conv2d(inputs, features, kernel, stride, padding), nn.ReLU(inplace=True)]

    return nn.Sequential(
        *convolution(3, 64, 11, 4),
        nn.MaxPool2d(3, 2),
        *convolution(64, 192, 5),
        nn.MaxPool2d(3, 2),
        *convolution(192, 384, 3),
        *convolution(384, 256, 3),
        *convolution(256, 256, 3),
        nn.MaxPool2d(3, 2),
        nn.Flatten(),
        nn.Dropout(0.5),
        nn.Linear(256 * 6 * 6, 4096),
        nn.ReLU(inplace=True),
        nn.Dropout(0.5),
        nn.Linear(4096, 4096),
        nn.ReLU(inplace=True),
        nn.Linear(4096, classes),
    )


def _normed(inputs: int, features: int, kernel: int, stride: int = 1, eps: float = 1e-5) -> list[nn.Module]:
    convolution = nn.Conv2d(inputs, features, kernel, stride, kernel // 2, bias=False)
    return [convolution, nn.BatchNorm2d(features, eps=eps)]


def _inception_convolution(inputs: int, features: int, kernel: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(*_normed(inputs, features, kernel, stride, eps=1e-3), nn.ReLU(inplace=True))


class Inception(nn.Module):
    """Four branches side by side."""

    def __init__(self, inputs: int, a: int, b1: int, b3: int, c1: int, c3: int, d: int):
        super().__init__()
        convolution = _inception_convolution
        self.branches = nn.ModuleList(
            [
                convolution(inputs, a, 1),
                nn.Sequential(convolution(inputs, b1, 1), convolution(b1, b3, 3)),
                nn.Sequential(convolution(inputs, c1, 1), convolution(c1, c3, 3)),
                nn.Sequential(nn.MaxPool2d(3, 1, padding=1, ceil_mode=True), convolution(inputs, d, 1)),
            ]
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cat([branch(x) for branch in self.branches], 1)


def googlenet(classes: int) -> nn.Module:
    """Torchvision's GoogLeNet without auxiliary heads, for 224x224x3."""
    layers: list[nn.Module] = [
        _inception_convolution(3, 64, 7, 2),
        nn.MaxPool2d(3, 2, ceil_mode=True),
        _inception_convolution(64, 64, 1),
        _inception_convolution(64, 192, 3),
        nn.MaxPool2d(3, 2, ceil_mode=True),
    ]
    inputs = 192
    for blocks, pooling in INCEPTIONS:
        for widths in blocks:
            layers.append(Inception(inputs, *widths))
            inputs = widths[0] + widths[2] + widths[4] + widths[5]
        if pooling:
            layers.append(nn.MaxPool2d(pooling, 2, ceil_mode=True))
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.2), nn.Linear(inputs, classes))


class Residual(nn.Module):
    """Two 3x3 convolutions, or a bottleneck of three with the stride in its 3x3, and the way around them."""

    def __init__(self, inputs: int, features: int, stride: int, bottleneck: bool):
        super().__init__()
        relu = nn.ReLU(inplace=True)
        if bottleneck:
            self.outputs = 4 * features
            parts = [*_normed(inputs, features, 1), relu, *_normed(features, features, 3, stride), relu]
            parts += _normed(features, self.outputs, 1)
        else:
            self.outputs = features
            parts = [*_normed(inputs, features, 3, stride), relu, *_normed(features, features, 3)]
        self.body, self.relu = nn.Sequential(*parts), relu
        same = stride == 1 and inputs == self.outputs
        self.around = nn.Identity() if same else nn.Sequential(*_normed(inputs, self.outputs, 1, stride))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.body(x)
        y += self.around(x)
        return self.relu(y)


def _resnet(stem: list[nn.Module], stages: tuple[int, ...], bottleneck: bool, classes: int) -> nn.Module:
    layers, inputs = [*stem], 64
    for stage, blocks in enumerate(stages):
        for block in range(blocks):
            stride = 2 if stage and not block else 1
            layers.append(Residual(inputs, 64 * 2**stage, stride, bottleneck))
            inputs = layers[-1].outputs
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(inputs, classes))


def resnet18(classes: int, channels: int = 3) -> nn.Module:
    """ResNet-18 with the stem for small images: 3x3, stride 1, no pooling."""
    return _resnet([*_normed(channels, 64, 3), nn.ReLU(inplace=True)], RESNET18, False, classes)


def resnet18_imagenet(classes: int) -> nn.Module:
    """Torchvision's ResNet-18, for 224x224x3."""
    return _resnet(_imagenet_stem(), RESNET18, False, classes)


def load_resnet18_imagenet(model: nn.Module, entries: Mapping[str, np.ndarray]) -> nn.Module:
    """Gives `resnet18_imagenet` the weights of torchvision's entries, which its own modules name otherwise."""
    parts = {"conv1": "body.0", "bn1": "body.1", "conv2": "body.3", "bn2": "body.4"}

    def own(name: str) -> str:
        layer, entry = name.rsplit(".", 1)
        match layer.split("."):
            case [stage, block, *part]:
                number = 4 + 2 * (int(stage.removeprefix("layer")) - 1) + int(block)
                place = f"around.{part[1]}" if part[0] == "downsample" else parts[part[0]]
                return f"{number}.{place}.{entry}"
        return f"{ {'conv1': 0, 'bn1': 1, 'fc': len(model) - 1}[layer] }.{entry}"

    model.load_state_dict({own(name): torch.from_numpy(array) for name, array in entries.items()})
    return model


def resnet50(classes: int) -> nn.Module:
    """Torchvision's ResNet-50, for 224x224x3."""
    return _resnet(_imagenet_stem(), RESNET50, True, classes)


def _imagenet_stem() -> list[nn.Module]:
    return [*_normed(3, 64, 7, 2), nn.ReLU(inplace=True), nn.MaxPool2d(3, 2, padding=1)]


def vgg16(classes: int) -> nn.Module:
    """Torchvision's VGG-16, for 224x224x3."""
    layers: list[nn.Module] = []
    inputs = 3
    for features, count in VGG16:
        for _ in range(count):
            layers += [nn.Conv2d(inputs, features, 3, padding=1), nn.ReLU(inplace=True)]
            inputs = features
        layers.append(nn.MaxPool2d(2))
    dense = [nn.Linear(inputs * 49, 4096), nn.ReLU(inplace=True), nn.Dropout()]
    dense += [nn.Linear(4096, 4096), nn.ReLU(inplace=True), nn.Dropout(), nn.Linear(4096, classes)]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(7), nn.Flatten(), *dense)


class ChannelNorm(nn.LayerNorm):
    """Layer norm over the channels of [n, c, h, w]."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class ConvNeXtBlock(nn.Module):
    """Torchvision's: depthwise convolution, norm, two dense layers, a factor of each map, stochastic depth."""

    def __init__(self, features: int, rate: float):
        super().__init__()
        self.depthwise = nn.Conv2d(features, features, 7, padding=3, groups=features)
        self.norm = nn.LayerNorm(features, eps=1e-6)
        self.dense = nn.Sequential(nn.Linear(features, 4 * features), nn.GELU(), nn.Linear(4 * features, features))
        self.scale = nn.Parameter(torch.full((features, 1, 1), 1e-6))
        self.rate = rate

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.dense(self.norm(self.depthwise(x).permute(0, 2, 3, 1))).permute(0, 3, 1, 2) * self.scale
        if self.training and self.rate:
            y = y * torch.empty(len(x), 1, 1, 1, device=x.device).bernoulli_(1 - self.rate).div_(1 - self.rate)
        return x + y


def convnext_tiny(classes: int) -> nn.Module:
    """Torchvision's ConvNeXt-T, for 224x224x3."""
    features, blocks = CONVNEXT_TINY
    layers: list[nn.Module] = [nn.Conv2d(3, features[0], 4, stride=4), ChannelNorm(features[0], eps=1e-6)]
    for stage, count in enumerate(blocks):
        if stage:
            layers.append(ChannelNorm(features[stage - 1], eps=1e-6))
            layers.append(nn.Conv2d(features[stage - 1], features[stage], 2, stride=2))
        before = sum(blocks[:stage])
        layers += [ConvNeXtBlock(features[stage], 0.1 * (before + i) / (sum(blocks) - 1)) for i in range(count)]
    head = [ChannelNorm(features[-1], eps=1e-6), nn.Flatten(), nn.Linear(features[-1], classes)]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), *head)


NETWORKS = {
    "vgg16": vgg16,
    "convnext_tiny": convnext_tiny,
    "cnn": cnn,
    "alexnet": alexnet,
    "googlenet": googlenet,
    "resnet18": resnet18,
    "resnet18_fashion": functools.partial(resnet18, channels=1),
    "resnet50": resnet50,
}
