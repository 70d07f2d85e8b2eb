"""Probabilities that torchvision's networks give photographs, with its own preprocessing, for `check_pictures.py`."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from peers.torchvision_outputs import _load_drawn, _torchvision

SPREAD = 3.0  # deviation of the logits, so that probabilities differ


def sized(picture: Any, shorter_side: int) -> Any:
    """Resizes a picture as torchvision does, so that it need not be resized any more."""
    from torchvision.transforms import functional

    return functional.resize(picture, [shorter_side], functional.InterpolationMode.BILINEAR, antialias=True)


def main() -> None:
    """Writes weights, pictures and probabilities of the networks that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("photographs", type=Path)
    parser.add_argument("names", nargs="+")
    words = parser.parse_args()
    import torch
    from PIL import Image
    from safetensors.torch import save_file

    models = _torchvision().models
    photographs = sorted(path for path in words.photographs.iterdir() if path.suffix in (".jpg", ".png"))
    for name in words.names:
        folder = words.folder / name
        folder.mkdir(parents=True)
        versions = models.get_model_weights(name)
        options = {"init_weights": False, "transform_input": True} if name in ("inception_v3", "googlenet") else {}
        network = getattr(models, name)(**options)
        _load_drawn(network)
        network.eval()
        found: dict[str, Any] = {"files": {}, "pictures": {}}
        for version in versions:
            how = version.transforms()
            found["files"][Path(version.url).name] = {
                "shorter_side": how.resize_size[0],
                "side": how.crop_size[0],
                "interpolation": how.interpolation.value,
            }
        transform = next(iter(versions)).transforms()
        pictures = {}
        for photograph in photographs:
            whole = Image.open(photograph).convert("RGB")
            small = sized(whole, transform.resize_size[0])
            small = small.crop((0, 0, small.width // 2 * 2, small.height // 2 * 2))  # its middle is whole pixels
            whole.save(folder / f"{photograph.stem}-whole.png")
            small.save(folder / f"{photograph.stem}-sized.png")
            pictures |= {f"{photograph.stem}-whole.png": whole, f"{photograph.stem}-sized.png": small}
        with torch.no_grad():
            seen = torch.stack([transform(picture) for picture in pictures.values()])
            logits = network(seen)
            last = [module for module in network.modules() if isinstance(module, torch.nn.Linear | torch.nn.Conv2d)][-1]
            for parameter in (last.weight, last.bias):
                parameter *= SPREAD / logits.std()
            probabilities = torch.softmax(network(seen), 1)
        found["pictures"] = dict(zip(pictures, probabilities.double().numpy().tolist(), strict=True))
        entries = network.state_dict()
        file = next(iter(found["files"]))
        torch.save(entries, folder / file)
        save_file(
            {key: value.contiguous() for key, value in entries.items()}, folder / f"{Path(file).stem}.safetensors"
        )
        (folder / "found.json").write_text(json.dumps(found), encoding="utf-8")


if __name__ == "__main__":
    main()
