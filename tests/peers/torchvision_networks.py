"""Logits of torchvision's whole networks with weights drawn from their entries' names, for `check_networks.py`."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
from golden_weights import COUNTER

from peers.torchvision_outputs import LABELS, _entries, _load_drawn, _torchvision

# One network of each family, trained for one step without dropout and stochastic depth.
TRAINED = (
    *("vgg11_bn", "resnext50_32x4d", "wide_resnet50_2", "densenet121", "mobilenet_v2", "mobilenet_v3_small"),
    *("efficientnet_b0", "convnext_tiny", "inception_v3", "alexnet"),
)


def images_of(side: int, count: int) -> np.ndarray:
    """Draws images [count, 3, side, side]."""
    return np.random.default_rng(side).standard_normal((count, 3, side, side)).astype(np.float32)


def sides(name: str) -> tuple[int, int]:
    """Sides of the images of evaluation and of training."""
    return (299, 299) if name == "inception_v3" else (224, 96)


def main() -> None:
    """Writes what the networks that the command line names give, one file each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("names", nargs="+")
    words = parser.parse_args()
    import torch

    models = _torchvision().models
    for name in words.names:
        options = {"init_weights": False} if name in ("inception_v3", "googlenet") else {}
        network = getattr(models, name)(**options)
        if name == "googlenet":
            network.aux1, network.aux2, network.aux_logits = None, None, False
        _load_drawn(network)
        shapes = {entry: list(value.shape) for entry, value in _entries(network)}
        side, training_side = sides(name)
        with torch.no_grad():
            logits = network.eval()(torch.from_numpy(images_of(side, 2)))
        found = {"logits": logits.numpy()}
        if name in TRAINED:
            for module in network.modules():
                if isinstance(module, torch.nn.Dropout):
                    module.p = 0.0
                if type(module).__name__ == "StochasticDepth":
                    module.p = 0.0
            output = network.train()(torch.from_numpy(images_of(training_side, 4)))
            output = (output.logits, output.aux_logits) if hasattr(output, "aux_logits") else (output,)
            loss = sum(torch.nn.functional.cross_entropy(each, torch.tensor(LABELS)) for each in output)
            loss.backward()
            found["loss"] = loss.detach().numpy()
            found |= {f"gradnorm/{entry}": each.grad.norm().numpy() for entry, each in network.named_parameters()}
            found |= {
                f"buffer/{entry}": each.numpy()
                for entry, each in network.named_buffers()
                if not entry.endswith(COUNTER)
            }
        np.savez(words.folder / f"{name}.npz", **found)
        (words.folder / f"{name}.json").write_text(json.dumps(shapes), encoding="utf-8")


if __name__ == "__main__":
    main()
