"""Attributions of torchvision's ResNet-18 with the golden weights by captum. Run by the Python that has it.

PyTorch computes in float64, as in `reference.py`.
"""

from __future__ import annotations

import argparse
import sys
import warnings
from pathlib import Path

import captum.attr
import golden_weights
import numpy as np
import torch
from torch import nn

from peers.captum_cases import BASELINE, CLASSES, STEPS, WINDOWS

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks" / "contestants"))
from torch_networks import load_resnet18_imagenet, resnet18_imagenet

THIRD_STAGE, LAST_BLOCK = 9, 11  # blocks that end them, of the network's modules
CANDIDATES = 60


def network() -> nn.Module:
    """Torchvision's ResNet-18: each block calls one ReLU module twice, in place."""
    return load_resnet18_imagenet(resnet18_imagenet(1000), golden_weights.draw("resnet18")).double().eval()


def with_modules_of_their_own(model: nn.Module) -> nn.Module:
    """The network with another ReLU module at each call, none in place, as captum's documentation wants it."""
    for module in list(model.modules()):
        for name, child in module._modules.items():  # named_children names a module once, however often it stands there
            if isinstance(child, nn.ReLU):
                setattr(module, name, nn.ReLU())
    calls = [module for module in model.modules() if isinstance(module, nn.ReLU)]
    assert len(calls) == 1 + 8 * 2
    return model


def led_back(model: nn.Module, images: torch.Tensor) -> dict[str, torch.Tensor]:
    """Attributions that are a signal led back to the pixels, by the names of cnn_jax's functions."""
    classes = torch.tensor(CLASSES)
    return {
        "gradient": captum.attr.Saliency(model).attribute(images, classes, abs=False),
        "gradient_times_input": captum.attr.InputXGradient(model).attribute(images, classes),
        "guided_backprop": captum.attr.GuidedBackprop(model).attribute(images, classes),
        "deconvnet": captum.attr.Deconvolution(model).attribute(images, classes),
        "integrated_gradients": captum.attr.IntegratedGradients(model).attribute(
            images, BASELINE, classes, n_steps=STEPS, method="gausslegendre"
        ),
        "guided_grad_cam": captum.attr.GuidedGradCam(model, model[THIRD_STAGE]).attribute(
            images, classes, interpolate_mode="bilinear"
        ),
    }


def continuous(model: nn.Module, images: torch.Tensor) -> dict[str, torch.Tensor]:
    """Logits, and attributions that change little with the roundings of a network."""
    cam, classes = captum.attr.LayerGradCam(model, model[LAST_BLOCK]), torch.tensor(CLASSES)
    heat = cam.attribute(images, classes, relu_attributions=True)
    found = {
        "logits": model(images),
        "grad_cam_maps": cam.attribute(images, classes),
        "grad_cam_heatmaps": captum.attr.LayerAttribution.interpolate(heat, images.shape[2:], "bilinear"),
    }
    for number, (window, strides) in enumerate(WINDOWS):
        found[f"occlusion{number}"] = captum.attr.Occlusion(model).attribute(
            images[:1], (3, *window), (3, *strides), BASELINE, CLASSES[0], perturbations_per_eval=6
        )
    return found


def margins(model: nn.Module, images: torch.Tensor) -> torch.Tensor:
    """How near each image brings a rectifier to its threshold, as a share of the standard deviation of its layer."""
    points = torch.from_numpy(np.polynomial.legendre.leggauss(STEPS)[0] / 2 + 0.5)
    path = BASELINE + torch.cat([points, torch.ones(1)])[:, None, None, None, None] * (images - BASELINE)
    nearest: list[torch.Tensor] = []

    def look(_: nn.Module, inputs: tuple[torch.Tensor]) -> None:
        flat = inputs[0].reshape(len(path), len(images), -1)
        nearest.append((flat.abs().amin(2) / flat.std(2)).amin(0))

    hooks = [part.register_forward_pre_hook(look) for part in model.modules() if isinstance(part, nn.ReLU)]
    with torch.no_grad():
        model(path.flatten(0, 1))
    for hook in hooks:
        hook.remove()
    return torch.stack(nearest).amin(0)


def main() -> None:
    """Writes the attributions."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("to", type=Path, help=".npz to write")
    options = parser.parse_args()
    warnings.filterwarnings("ignore")  # of hooks and of gradients that are asked for
    model, images = network(), torch.from_numpy(golden_weights.images_of("eval")).double()
    found = continuous(model, images)
    found |= {f"double/{name}": array for name, array in led_back(model, images).items() if "_grad" not in name}
    # Float32 must open the same rectifiers: of many small images those that bring none of them near its threshold.
    small = torch.from_numpy(np.random.default_rng(1).standard_normal((CANDIDATES, 3, 32, 32)).astype(np.float32))
    near = margins(model, small.double())
    chosen = near.argsort(descending=True)[:2]
    small = small[chosen].double()
    found |= {"images": small, "margins": near[chosen]}
    found |= {f"small/{name}": array for name, array in led_back(model, small).items()}
    # Where captum's hooks missed a call of a module that is called twice, these would be others.
    apart = led_back(with_modules_of_their_own(network()), small)
    found |= {f"apart/{name}": array for name, array in apart.items()}
    np.savez(options.to, **{name: channels_last(tensor.detach()) for name, tensor in found.items()})


def channels_last(tensor: torch.Tensor) -> np.ndarray:
    """An array of images or maps in cnn_jax's order; other tensors as they are."""
    return (tensor.permute(0, 2, 3, 1) if tensor.ndim == 4 else tensor).numpy()


if __name__ == "__main__":
    main()
