"""Outputs of torchvision's networks with weights drawn from their entries' names, for `tests/pretrained/golden`.

It runs in the peers' environment (`make golden`); the tests that read the files draw the same weights by `weights_of`.
"""

from __future__ import annotations

import argparse
import functools
import importlib.metadata
import json
from pathlib import Path
from typing import Any

import numpy as np
from golden_weights import COUNTER, images_of, weights_of

NETWORKS: dict[str, dict[str, Any]] = {
    "alexnet": {},
    "googlenet": {"aux_logits": False, "transform_input": False, "init_weights": False},
    "squeezenet1_0": {},
    "squeezenet1_1": {},
    "resnet18": {},
    "resnet50": {},
}
# Small ones of torchvision's, of ten classes, without dropout, evaluated and trained for a step on [2, 3, 64, 64].
SMALL = (
    *("vgg_small", "densenet_small", "mobilenet_v2_small", "mobilenet_v3_small_small", "efficientnet_small"),
    *("convnext_small",),
)
# Trained for one step; without dropout, whose random choices are the library's own.
TRAINED: dict[str, dict[str, Any]] = {"resnet18": {}, "squeezenet1_1": {"dropout": 0.0}}
LABELS = (0, 7, 14, 21)  # of SMALL the first two


@functools.cache
def _torchvision() -> Any:
    """Imports torchvision, whose operators for boxes are not there where its build is for another torch."""
    import torch

    cpu = "+cpu"
    if torch.__version__.endswith(cpu) and not importlib.metadata.version("torchvision").endswith(cpu):
        operators = torch.library.Library("torchvision", "FRAGMENT")
        for name in ("nms", "qnms"):
            operators.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    import torchvision

    return torchvision


def _small(name: str) -> Any:
    """Builds one of SMALL with weights drawn from their names."""
    import torch

    models = _torchvision().models
    if name == "vgg_small":
        plan = [*(8, "M", 16, "M", 32, 32, "M"), *(64, 64, "M", 64, 64, "M")]
        network = models.VGG(models.vgg.make_layers(plan, batch_norm=True), num_classes=10, dropout=0.0)
        network.avgpool = torch.nn.AdaptiveAvgPool2d(2)
        network.classifier[0], network.classifier[3] = torch.nn.Linear(64 * 4, 12), torch.nn.Linear(12, 12)
        network.classifier[6] = torch.nn.Linear(12, 10)
    elif name == "densenet_small":
        network = models.DenseNet(4, (2, 1), 6, bn_size=2, num_classes=10)
    elif name == "mobilenet_v2_small":
        rows = [[1, 16, 1, 1], [6, 24, 2, 2], [6, 32, 1, 2]]
        network = models.MobileNetV2(10, width_mult=0.25, inverted_residual_setting=rows, dropout=0.0)
        network.features[-1][0] = torch.nn.Conv2d(8, 1280, 1, bias=False)
    elif name == "mobilenet_v3_small_small":
        block = functools.partial(models.mobilenetv3.InvertedResidualConfig, dilation=1, width_mult=0.5)
        rows = [
            block(16, 3, 16, 16, True, "RE", 2),
            block(16, 3, 72, 24, False, "RE", 2),
            block(24, 3, 88, 24, False, "RE", 1),
            block(24, 5, 96, 40, True, "HS", 2),
        ]
        network = models.MobileNetV3(rows, 64, num_classes=10, dropout=0.0)
    elif name == "efficientnet_small":
        block = functools.partial(models.efficientnet.MBConvConfig, width_mult=0.25, depth_mult=1.0)
        rows = [block(1, 3, 1, 32, 16, 1), block(6, 3, 2, 16, 24, 2), block(6, 5, 2, 24, 40, 1)]
        network = models.EfficientNet(rows, dropout=0.0, stochastic_depth_prob=0.0, num_classes=10, last_channel=320)
    else:
        block = models.convnext.CNBlockConfig
        rows = [block(8, 12, 1), block(12, 16, 1), block(16, 20, 2), block(20, None, 1)]
        network = models.ConvNeXt(rows, stochastic_depth_prob=0.0, num_classes=10)
    _load_drawn(network)
    return network


def _load_drawn(network: Any) -> None:
    import torch

    state = {entry: torch.from_numpy(weights_of(entry, tuple(value.shape))) for entry, value in _entries(network)}
    network.load_state_dict(state)


def _network(name: str, options: dict[str, Any]) -> Any:
    network = getattr(_torchvision().models, name)(**options)
    _load_drawn(network)
    return network


def _entries(network: Any) -> list[tuple[str, Any]]:
    return list(network.state_dict().items())


def evaluate(name: str, folder: Path) -> None:
    """Writes a network's entries and the logits of two images."""
    import torch

    network = _network(name, NETWORKS[name]).eval()
    shapes = {entry: list(value.shape) for entry, value in _entries(network)}
    (folder / f"{name}_state_dict.json").write_text(json.dumps(shapes), encoding="utf-8")
    with torch.no_grad():
        logits = network(torch.from_numpy(images_of("eval")))
    np.savez_compressed(folder / f"{name}_eval.npz", logits=logits.numpy())


def small(name: str, folder: Path) -> None:
    """Writes a small network's entries, its logits in evaluation, and a training pass."""
    import torch

    network, images = _small(name), torch.from_numpy(images_of("small"))
    shapes = {entry: list(value.shape) for entry, value in _entries(network)}
    (folder / f"{name}_state_dict.json").write_text(json.dumps(shapes), encoding="utf-8")
    with torch.no_grad():
        logits = network.eval()(images)
    np.savez_compressed(folder / f"{name}_eval.npz", logits=logits.numpy())
    loss = torch.nn.functional.cross_entropy(network.train()(images), torch.tensor(LABELS[:2]))
    loss.backward()
    gradients = {f"gradnorm/{entry}": each.grad.norm().numpy() for entry, each in network.named_parameters()}
    statistics = {entry: each for entry, each in network.named_buffers() if not entry.endswith(COUNTER)}
    buffers = {f"buffer/{entry}": each.numpy() for entry, each in statistics.items()}
    np.savez_compressed(folder / f"{name}_train.npz", loss=loss.detach().numpy(), **gradients, **buffers)


def train(name: str, folder: Path) -> None:
    """Writes a training pass's loss, norms of its gradients, and running statistics after it."""
    import torch

    network = _network(name, TRAINED[name]).train()
    loss = torch.nn.functional.cross_entropy(network(torch.from_numpy(images_of("train"))), torch.tensor(LABELS))
    loss.backward()
    gradients = {f"gradnorm/{entry}": each.grad.norm().numpy() for entry, each in network.named_parameters()}
    statistics = {entry: each for entry, each in network.named_buffers() if not entry.endswith(COUNTER)}
    buffers = {f"buffer/{entry}": each.numpy() for entry, each in statistics.items()}
    np.savez_compressed(folder / f"{name}_train.npz", loss=loss.detach().numpy(), **gradients, **buffers)


def main() -> None:
    """Writes the files of the networks that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--networks", nargs="+", choices=[*NETWORKS, *SMALL], default=[*NETWORKS, *SMALL])
    words = parser.parse_args()
    for name in words.networks:
        if name in SMALL:
            small(name, words.folder)
            continue
        evaluate(name, words.folder)
        if name in TRAINED:
            train(name, words.folder)


if __name__ == "__main__":
    main()
