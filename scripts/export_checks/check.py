"""Compares exported networks of full size with the live ones: `make test-export`.

Each network is exported with its own padding and norm, and with every other padding dialect and norm that it allows.
The weights are random. StableHLO runs in an environment that has jax and flatbuffers alone, ONNX in onnxruntime; both
take batches of 1, 7 and 500. The networks' own versions see many images, the others few.
"""

from __future__ import annotations

import argparse
import collections
import dataclasses
import importlib.util
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import onnx
import onnxruntime
from PIL import Image
from support.untrained_run import untrained_run

from cnn_jax import models
from cnn_jax.config.parsing import parse
from cnn_jax.data.device import pipeline
from cnn_jax.export import onnx_file, stablehlo, tflite_file
from cnn_jax.ops import GeometryError
from cnn_jax.train.restore import FinishedRun

CLOSE = 1e-5
BATCHES = (1, 7, 500)
PADDINGS = ("VALID", "SAME", "SAME_LOWER", "TORCH", "REFLECT", "REPLICATE", "CIRCULAR")
NORMS = ("none", "batch", "group")
NETWORKS: dict[str, tuple[dict[str, Any], tuple[int, int, int]]] = {
    "cnn": ({}, (28, 28, 1)),
    "lenet5": ({"name": "lenet5"}, (28, 28, 1)),
    "resnet_cifar": ({"name": "resnet_cifar"}, (32, 32, 3)),
    "resnet50": ({"name": "resnet", "depth": 50}, (224, 224, 3)),
    "googlenet": ({"name": "googlenet"}, (224, 224, 3)),
    "googlenet_torchvision": ({"name": "googlenet_torchvision"}, (224, 224, 3)),
    "alexnet": ({"name": "alexnet"}, (224, 224, 3)),
    "alexnet_torchvision": ({"name": "alexnet_torchvision"}, (224, 224, 3)),
}
# Group norm's eight groups do not divide LeNet-5's 6 maps, nor a wide choice of others'.
_GROUPS = {"lenet5": 2}


def variants(name: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Gives the network's own version first, then one for each other padding and norm."""
    model = NETWORKS[name][0]
    own = untrained_config(model)
    yield "own", model
    for padding in PADDINGS:
        if own["padding"] != padding:
            yield padding, model | {"padding": padding}
    for norm in NORMS:
        if own["norm"] != norm:
            yield f"{norm} norm", model | {"norm": norm, "norm_groups": _GROUPS.get(name, 8)}


def untrained_config(model: dict[str, Any]) -> dict[str, Any]:
    """Gives all fields of a model section."""
    return parse({"model": model}).model.model_dump()


def pictures(count: int, image_shape: tuple[int, int, int]) -> np.ndarray:
    """Draws smooth random pictures of high contrast."""
    rng = np.random.default_rng(count)
    height, width, channels = image_shape
    coarse = rng.integers(0, 256, (count, 6, 6, 3), dtype=np.uint8)
    made = [np.asarray(Image.fromarray(each).resize((width, height), Image.Resampling.BICUBIC)) for each in coarse]
    return np.stack(made)[..., :channels]


def with_statistics(run: FinishedRun) -> FinishedRun:
    """Gives batch norms the statistics of some pictures, without which the maps of deep networks grow without bound."""
    if "batch_stats" not in run.variables:
        return run
    config = run.experiment.model.model_copy(update={"norm_momentum": 0.0, "aux_heads": False})
    images = pipeline.normalize(jnp.asarray(pictures(16, run.image_shape)), run.normalization)
    network = models.create(config, len(run.class_names))
    compute = jax.jit(lambda variables: network.apply(variables, images, train=True, key=jax.random.key(0))[2])
    return dataclasses.replace(run, variables={**run.variables, "batch_stats": compute(run.variables)})


def batches_of(count: int) -> list[int]:
    """Splits a number of images into batches of 1, 7 and up to 500."""
    sizes, rest = [1, 7], count - 8
    while rest > 0:
        sizes.append(min(rest, BATCHES[-1]))
        rest -= sizes[-1]
    return sizes


def compare(name: str, found: np.ndarray, expected: np.ndarray) -> list[str]:
    """Lists faults of a format's probabilities."""
    worst = float(np.abs(found - expected).max())
    top = np.sort(expected, axis=1)
    clear = top[:, -1] - top[:, -2] > 2 * CLOSE
    wrong = int(((found.argmax(1) != expected.argmax(1)) & clear).sum())
    print(f"    {name}: probabilities to {worst:.1e}, {wrong} other classes", flush=True)
    return [f"{name}: probabilities differ by {worst:.1e}, {wrong} other classes"] * int(worst > CLOSE or wrong > 0)


def check(name: str, model: dict[str, Any], count: int, alone: Path, folder: Path) -> list[str]:
    """Exports one version of a network and runs it."""
    image_shape = NETWORKS[name][1]
    run = with_statistics(untrained_run(model, image_shape, {"eval_batch_size": 500 if image_shape[0] < 64 else 50}))
    pixels, sizes = pictures(count, image_shape), batches_of(count)
    expected = run.probabilities(pixels)
    classes = collections.Counter(expected.argmax(1).tolist())
    print(f"    {count} images in {len(classes)} classes, spread {expected.std(axis=0).max():.1e}", flush=True)
    faults = ["all images have one and the same probabilities"] * int(expected.std(axis=0).max() < CLOSE)

    content = onnx_file.write(run)  # which checks it, with full shape inference
    kinds = collections.Counter(node.op_type for node in onnx.load_from_string(content).graph.node)
    if kinds["Transpose"] != int(image_shape[2] > 1):
        faults.append(f"ONNX: {kinds['Transpose']} transposes")
    (folder / f"{name}.onnx").write_bytes(content)
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    starts = np.cumsum([0, *sizes])
    parts = [session.run(None, {"images": pixels[a : a + n]})[0] for a, n in zip(starts, sizes, strict=False)]
    faults += compare("ONNX", np.concatenate(parts), expected)
    del session, content

    files = [folder / each for each in ("network.stablehlo", "images.npy", "probabilities.npy")]
    files[0].write_bytes(stablehlo.write(run))
    np.save(files[1], pixels)
    program = Path(__file__).with_name("stablehlo_alone.py")
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    command = [alone, program, *files, ",".join(map(str, sizes))]
    subprocess.run(list(map(str, command)), check=True, env=environment, cwd=folder)
    faults += compare("StableHLO", np.load(files[2]), expected)
    if importlib.util.find_spec("litert_converter"):
        found = tflite_file.Program(tflite_file.write(run), "network").probabilities(pixels[:8])
        faults += compare("TFLite", found, expected[:8])
    return faults


def main(arguments: list[str]) -> int:
    """Runs the checks; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--alone", type=Path, required=True, help="Python that has jax and flatbuffers alone")
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=list(NETWORKS))
    parser.add_argument("--images", type=int, default=10_000, help="images for each network of images below 64 pixels")
    parser.add_argument("--large-images", type=int, default=508, help="images for the others")
    parser.add_argument("--variant-images", type=int, default=8, help="images for other paddings and norms")
    parser.add_argument("--own", action="store_true", help="leave out other paddings and norms")
    parser.add_argument("--keep", type=Path, help="folder in which the last ONNX file of each network stays")
    options = parser.parse_args(arguments)
    faults: list[str] = []
    for name in options.networks:
        small = NETWORKS[name][1][0] < 64
        for variant, model in variants(name):
            if options.own and variant != "own":
                continue
            own = (options.images if small else options.large_images) if variant == "own" else options.variant_images
            start = time.perf_counter()
            print(f"{name}, {variant}", flush=True)
            with tempfile.TemporaryDirectory() as folder:
                try:
                    found = check(name, model, max(own, 8), options.alone.absolute(), options.keep or Path(folder))
                except GeometryError as error:
                    print(f"    not legal: {error}", flush=True)
                    continue
            faults += [f"{name}, {variant}: {fault}" for fault in found]
            print(f"    {time.perf_counter() - start:.0f} s", flush=True)
            jax.clear_caches()
    print("\n".join(faults) or "all exported networks compute what the live ones do")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
