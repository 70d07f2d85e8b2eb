"""Weight files in every layout, damaged, and checkpoints with random things around the tensors."""

import json
import zipfile
from pathlib import Path

import numpy as np
import torch_save
from safetensors.numpy import save
from torch_save import Call, Global, View, view

from cnn_jax.pretrained import read_state_dict
from fuzz_data.damage import damaged
from fuzz_data.outcome import Refused, called

BESIDE = {
    "args": Call(Global("argparse", "Namespace"), (), {"lr": 0.1}),
    "best": Call(Global("numpy.core.multiarray", "scalar"), (Call(Global("numpy", "dtype"), ("f8",)), b"12345678")),
    "optimizer": {"state": {}, "param_groups": [{"lr": 0.1, "params": [0, 1, 2]}]},
    "epoch": 3,
    "network": Call(Global("mine", "Network"), (), {"training": True}),
    "hook": Global("os", "system"),
    "call": Call(Global("os", "_exit"), (7,)),
    "name": "resnet",
}
LAYOUTS = ("zip", "deflated", "legacy", "tar", "safetensors")


def weight_file(rng: np.random.Generator, folder: Path) -> str:
    """The tensors come out as they went in, or the file is refused."""
    kind = np.float64 if rng.random() < 0.2 else np.float32
    arrays = {name: rng.normal(size=shape).astype(kind) for name, shape in SHAPES.items()}
    layout, prefix = str(rng.choice(LAYOUTS)), "".join(rng.choice(["", "module.", "_orig_mod.", "model.", "net."], 2))
    content = written(layout, {prefix + name: array for name, array in arrays.items()}, rng)
    path = folder / f"weights.{rng.choice(['pth', 'pt', 'safetensors', 'pth.tar'])}"
    what = str(rng.choice(["whole", "damaged", "damaged", "view"]))
    match what:
        case "damaged":
            original, (content, what) = content, damaged(content, rng)
            if content == original:
                what = "whole"
        case "view":
            layout = str(rng.choice(["zip", "legacy", "tar"]))
            return odd_view(layout, rng, path)
    path.write_bytes(content)
    got = called(lambda: read_state_dict(path))
    case = f"weights, {layout}, {prefix or 'no prefix'}, {what}"
    if isinstance(got, Refused):
        assert what != "whole", f"{case}: {got.message}"
        return f"{case}: refused"
    if what == "whole" or layout in ("zip", "deflated"):  # which have checksums
        assert got.keys() == arrays.keys(), case
        for name, array in arrays.items():
            np.testing.assert_array_equal(got[name], array, err_msg=case)
    elif layout == "safetensors":
        assert_as_written(content, got, case)
    return f"{case}: read"


SHAPES = {"conv1.weight": (2, 3, 2, 2), "fc.weight": (3, 4), "fc.bias": (3,)}


def written(layout: str, arrays: dict[str, np.ndarray], rng: np.random.Generator) -> bytes:
    tensors = {name: view(array) for name, array in arrays.items()}
    chosen = {key: value for key, value in BESIDE.items() if rng.random() < 0.4}
    container = str(rng.choice(["state_dict", "model_state_dict", "model", "net", "ema"]))
    nested = rng.random() < 0.5
    match layout:
        case "zip" | "deflated":
            compression = zipfile.ZIP_DEFLATED if layout == "deflated" else zipfile.ZIP_STORED
            return torch_save.zipped({**chosen, container: tensors} if nested else tensors, compression)
        case "legacy":
            return torch_save.legacy({**chosen, container: tensors} if nested else tensors)
        case "tar":
            return torch_save.tarred(tensors, lambda names: {**chosen, container: names} if nested else names)
        case "safetensors":
            return save(arrays)
    raise AssertionError(layout)


def assert_as_written(content: bytes, got: dict[str, np.ndarray], case: str) -> None:
    """A .safetensors file has no checksum: what is read is what stands there, in the shapes that stand there."""
    size = int.from_bytes(content[:8], "little")
    header, body = json.loads(content[8 : 8 + size]), content[8 + size :]
    expected = {}
    for name, each in header.items():
        if name == "__metadata__":
            continue
        parts = [part for part in name.split(".")[:-1] if part not in ("module", "_orig_mod")]
        while parts and parts[0] in ("model", "net", "network"):
            del parts[0]
        first, last = each["data_offsets"]
        expected[".".join([*parts, name.split(".")[-1]])] = (each["shape"], body[first:last])
    assert got.keys() == expected.keys(), case
    for name, (shape, bytes_) in expected.items():
        assert list(got[name].shape) == shape, case
        assert got[name].tobytes() == bytes_, case


def odd_view(layout: str, rng: np.random.Generator, path: Path) -> str:
    """A view is what NumPy's fancy indexing makes of it, or refused where an element lies outside."""
    content = rng.normal(size=int(rng.integers(1, 30))).astype(np.float32)
    dimensions = int(rng.integers(0, 4))
    large = rng.random() < 0.2
    shape = tuple(int(n) for n in rng.integers(-1 if rng.random() < 0.1 else 0, 4, dimensions))
    strides = tuple(int(n) for n in rng.integers(-2 if rng.random() < 0.3 else 0, 2**40 if large else 7, dimensions))
    offset = int(rng.integers(-3 if rng.random() < 0.2 else 0, 12))
    writer = {"zip": torch_save.zipped, "legacy": torch_save.legacy, "tar": torch_save.tarred}[layout]
    path.write_bytes(writer({"a": View(content, offset, shape, strides)}))
    got = called(lambda: read_state_dict(path))
    case = f"weights, {layout}, offset {offset}, shape {shape}, strides {strides} of {len(content)}"
    places = np.full(tuple(max(size, 0) for size in shape), offset, object)
    for axis, (size, stride) in enumerate(zip(shape, strides, strict=True)):
        steps = np.array([stride * n for n in range(max(size, 0))], object)
        places = places + steps.reshape([-1 if other == axis else 1 for other in range(dimensions)])
    inside = all(0 <= place < len(content) for place in np.ravel(places).tolist())
    if isinstance(got, Refused):
        legal = min((offset, *shape, *strides), default=0) >= 0 and offset <= len(content)
        assert not (inside and legal), f"{case}: {got.message}"
        return f"{case}: refused"
    assert inside, case
    np.testing.assert_array_equal(got["a"], content[places.astype(int)], err_msg=case)
    return f"{case}: read"
