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
# Trained for one step; without dropout, whose random choices are the library's own.
TRAINED: dict[str, dict[str, Any]] = {"resnet18": {}, "squeezenet1_1": {"dropout": 0.0}}
LABELS = (0, 7, 14, 21)


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


def _network(name: str, options: dict[str, Any]) -> Any:
    import torch

    network = getattr(_torchvision().models, name)(**options)
    state = {entry: torch.from_numpy(weights_of(entry, tuple(value.shape))) for entry, value in _entries(network)}
    network.load_state_dict(state)
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
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=list(NETWORKS))
    words = parser.parse_args()
    for name in words.networks:
        evaluate(name, words.folder)
        if name in TRAINED:
            train(name, words.folder)


if __name__ == "__main__":
    main()
