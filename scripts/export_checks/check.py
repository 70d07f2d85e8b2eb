"""Compares exported networks of full size with the live ones: `make test-export`.

Each network is exported with its own padding and norm, with every other padding dialect and norm that it allows, and
with both another padding and another norm, for test images of Fashion-MNIST in the least size that it takes. StableHLO
runs in an environment that has jax and flatbuffers alone, ONNX in onnxruntime; both take batches of 1, 7 and 500.
"""

from __future__ import annotations

import argparse
import collections
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import jax
import numpy as np
import onnx
import onnxruntime

from cnn_jax.export import onnx_file, stablehlo, tflite_file
from cnn_jax.ops import GeometryError
from cnn_jax.train import restore
from cnn_jax.train.restore import FinishedRun
from scripts.export_checks.networks import (
    COMBINATIONS,
    LARGEST_BATCH,
    NETWORKS,
    VERSIONS,
    finished_run,
    least_shape,
    pictures,
    versions,
)

CLOSE = 1e-5
LARGE = 128  # pixels: of sides beyond, one batch of each size is computed
ONE_OF_EACH = 1 + 7 + LARGEST_BATCH


def batches_of(count: int) -> list[slice]:
    """Splits a number of images into batches of 1, 7 and 500.

    The last batch of 500 overlaps the one before it, so that no program of another batch is compiled; of fewer than
    508 images it has what is left.
    """
    starts = range(8, count, LARGEST_BATCH)
    first = max(8, count - LARGEST_BATCH)
    return [slice(0, 1), slice(1, 8), *(slice(min(each, first), min(each, first) + LARGEST_BATCH) for each in starts)]


def of_onnx(run: FinishedRun, pixels: np.ndarray, keep: Path | None) -> tuple[np.ndarray, list[str]]:
    """Computes probabilities by onnxruntime; returns them and the file's faults."""
    content = onnx_file.write(run)  # which checks it, with full shape inference
    if keep:
        keep.write_bytes(content)
    kinds = collections.Counter(node.op_type for node in onnx.load_from_string(content).graph.node)
    needed = int(pixels.shape[3] > 1)  # of the pixels of several channels
    faults = [f"ONNX: {kinds['Transpose']} transposes, not {needed}"] * (kinds["Transpose"] != needed)
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    found = np.empty((len(pixels), len(run.class_names)), np.float32)
    for part in batches_of(len(pixels)):
        found[part] = session.run(None, {"images": pixels[part]})[0]
    return found, faults


def of_stablehlo(run: FinishedRun, pixels: np.ndarray, alone: Path) -> np.ndarray:
    """Computes probabilities by an environment that has jax and flatbuffers alone."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        files = [folder / each for each in ("network.stablehlo", "images.npy", "probabilities.npy")]
        files[0].write_bytes(stablehlo.write(run))
        np.save(files[1], pixels)
        program = Path(__file__).with_name("stablehlo_alone.py")
        environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
        batches = ",".join(f"{part.start}:{part.stop}" for part in batches_of(len(pixels)))
        command = [alone, program, *files, batches]
        subprocess.run(list(map(str, command)), check=True, env=environment, cwd=folder)
        found: np.ndarray = np.load(files[2])
        return found


def compared(found: np.ndarray, expected: np.ndarray) -> dict[str, Any]:
    """Gives the largest difference of probabilities, and the number of images of another class.

    Where the two likeliest classes are within the tolerance of each other, either is right.
    """
    top = np.sort(expected, axis=1)
    clear = top[:, -1] - top[:, -2] > 2 * CLOSE
    wrong = int(((found.argmax(1) != expected.argmax(1)) & clear).sum())
    return {"difference": float(np.abs(found - expected).max()), "other_classes": wrong}


def check(run: FinishedRun, pixels: np.ndarray, alone: Path, keep: Path | None) -> dict[str, Any]:
    """Exports a network and runs it; returns figures and faults."""
    count = len(pixels)
    expected = run.probabilities(pixels)
    most = int(np.bincount(expected.argmax(1)).max())
    spread = float(expected.std(axis=0).max())
    found: dict[str, Any] = {
        "side": pixels.shape[1],
        "images": count,
        "commonest_class": most,
        "spread": spread,
    }
    faults = ["the images' probabilities are too alike to tell"] * (most > 0.9 * count or spread < 100 * CLOSE)
    probabilities, more = of_onnx(run, pixels, keep)
    faults += more
    found["ONNX"] = compared(probabilities, expected)
    found["StableHLO"] = compared(of_stablehlo(run, pixels, alone), expected)
    if importlib.util.find_spec("litert_converter"):
        few = tflite_file.Program(tflite_file.write(run), "network").probabilities(pixels[:8])
        found["TFLite"] = compared(few, expected[:8])
    for name in ("ONNX", "StableHLO", "TFLite"):
        figures = found.get(name, {"difference": 0.0, "other_classes": 0})
        difference, others = figures["difference"], figures["other_classes"]
        if difference > CLOSE or others:
            faults.append(f"{name}: probabilities differ by {difference:.1e}, {others} other classes")
    return {**found, "faults": faults}


def check_version(model: dict[str, Any], channels: int, count: int, alone: Path, keep: Path | None) -> dict[str, Any]:
    """Checks a version of a network, or tells why it is not legal."""
    try:
        shape = least_shape(model, channels)
    except GeometryError as error:
        return {"illegal": str(error).splitlines()[0], "faults": []}
    pixels = pictures(min(count, ONE_OF_EACH) if shape[0] > LARGE else count, shape)
    return check(finished_run(model, pixels), pixels, alone, keep)


def main(arguments: list[str]) -> int:
    """Runs the checks; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--alone", type=Path, required=True, help="Python that has jax and flatbuffers alone")
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=list(NETWORKS))
    parser.add_argument("--versions", nargs="+", choices=(*VERSIONS, COMBINATIONS), default=(*VERSIONS, COMBINATIONS))
    parser.add_argument("--images", type=int, default=10_000, help="images for each version, at least 8")
    parser.add_argument("--combination_images", type=int, default=1_000, help="of another padding and another norm")
    parser.add_argument("--record", type=Path, help="file of figures, which gets those of versions that it lacks")
    parser.add_argument("--keep", type=Path, help="folder in which the ONNX files of the networks' own versions stay")
    parser.add_argument("--workdir", type=Path, help="folder of a finished run, whose network alone is checked")
    options = parser.parse_args(arguments)
    alone = options.alone.absolute()
    if not alone.is_file():
        parser.error(f"--alone: there is no program {alone}; make .venv-alone/installed makes one")
    for flag in ("images", "combination_images"):
        if getattr(options, flag) <= 8:
            parser.error(f"--{flag}: got {getattr(options, flag)}, expected more than 8: batches of 1, 7 and more")
    if options.workdir:
        run = restore.load(options.workdir)
        found = check(run, pictures(options.images, run.image_shape), alone, None)
        print(json.dumps(found))
        return 1 if found["faults"] else 0
    if options.record:
        options.record.touch()
    lines = options.record.read_text().splitlines() if options.record else []
    results = {(each["network"], each["version"]): each for each in map(json.loads, lines)}
    for name in options.networks:
        channels = NETWORKS[name][1]
        for version, section in versions(name):
            kind = version if version in VERSIONS else COMBINATIONS
            if kind not in options.versions or (name, version) in results:
                continue
            start = time.perf_counter()
            keep = options.keep / f"{name}.onnx" if options.keep and version == "own" else None
            count = options.combination_images if kind == COMBINATIONS else options.images
            found = check_version(section, channels, count, alone, keep)
            found = {"network": name, "version": version, **found, "seconds": round(time.perf_counter() - start)}
            print(json.dumps(found), flush=True)
            if options.record:
                with options.record.open("a") as file:
                    file.write(json.dumps(found) + "\n")
            results[name, version] = found
            jax.clear_caches()
    faults = [f"{each['network']}, {each['version']}: {fault}" for each in results.values() for fault in each["faults"]]
    print("\n".join(faults) or f"all {len(results)} exported networks compute what the live ones do")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
