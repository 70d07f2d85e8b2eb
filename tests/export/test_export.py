"""Exported networks beside the live ones: onnxruntime and jax.export predict what evaluation does."""

import importlib.util
import io
import json
import re
import sys
import zipfile

import jax.export
import numpy as np
import onnx
import onnxruntime
import pytest
from support.tiny_networks import SIDE, TINY
from support.untrained_run import images, untrained_run

from cnn_jax.config.parsing import ConfigError
from cnn_jax.export import archive, load, onnx_file, seal, stablehlo, tflite_file
from cnn_jax.export.program import refuse_too_large
from cnn_jax.geometry import summarize

# Both sum in float32, in another order; probabilities of logits of a few units.
CLOSE = {"rtol": 0, "atol": 1e-5}
SMALL = {"features": (6, 4), "pooling": ("max", "none"), "dense": (8,)}
NETWORKS = {
    "lecture": ({}, (28, 28, 1)),
    "reflect, group norm": (SMALL | {"padding": ("REFLECT", "SAME"), "norm": "group", "norm_groups": 2}, (12, 12, 3)),
    "circular, batch norm": (SMALL | {"padding": ("CIRCULAR", "TORCH"), "norm": "batch"}, (11, 12, 3)),
    "replicate, gelu": (SMALL | {"padding": "REPLICATE", "activation": "gelu"}, (9, 12, 4)),
    "same lower, average": (SMALL | {"padding": "SAME_LOWER", "pooling": ("avg", "min"), "strides": 2}, (14, 15, 1)),
    "valid, dilated groups": (SMALL | {"dilation": 2, "groups": (1, 2)}, (16, 15, 3)),
    "views": (SMALL, (12, 12, 1)),
    "lenet5": ({"name": "lenet5"}, (32, 32, 1)),
    "lenet5 of the paper": (
        {"name": "lenet5", "output": "rbf", "connection": "table", "subsampling": "trainable"},
        (32, 32, 1),
    ),
    "adaptive average": (
        {"name": "alexnet_torchvision", "features": (4, 4, 6, 6, 4), "dense": (8, 6)},
        (72, 64, 3),
    ),
    "cifar resnet": ({"name": "resnet_cifar", "depth": 8}, (16, 16, 3)),
    # XLA's convolutions are compiled in a fraction of the time.
    **{
        config.name: (config.model_dump() | {"lowering": "xla"}, (SIDE, SIDE, 3))
        for config in TINY
        if config.name in ("densenet", "mobilenet_v3_small", "efficientnet", "convnext")
    },
}


def untrained(name):
    model, image_shape = NETWORKS[name]
    return untrained_run(model, image_shape, {"eval_mirrored": True, "eval_shift": 1} if name == "views" else {})


@pytest.mark.parametrize("name", NETWORKS)
def test_onnx(name):
    run = untrained(name)
    content = onnx_file.write(run)
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    for count in (1, 7):
        pixels = images(run, count)
        (found,) = session.run(None, {"images": pixels})
        np.testing.assert_allclose(found, run.probabilities(pixels), **CLOSE)
    assert found.std() > 1e-3  # the images are told apart
    kinds = [node.op_type for node in onnx.load_from_string(content).graph.node]
    # Pixels of several channels come channels-last, and are moved once. Nothing else is.
    assert kinds.count("Transpose") == (run.image_shape[2] > 1)
    assert "Gather" not in kinds


@pytest.mark.parametrize("name", ["lecture", "views", "cifar resnet"])
def test_stablehlo_without_this_project(name):
    run = untrained(name)
    content = stablehlo.write(run)
    files = zipfile.ZipFile(io.BytesIO(content))
    program = jax.export.deserialize(bytearray(files.read("program.jax_export")))
    assert set(program.platforms) == {"cpu", "cuda", "tpu"}
    for count in (1, 7):
        pixels = images(run, count)
        np.testing.assert_allclose(program.call(pixels), run.probabilities(pixels), **CLOSE)
    assert json.loads(files.read("description.json"))["class_names"][3] == "class 3"


@pytest.mark.parametrize("write", [onnx_file.write, stablehlo.write, archive.write])
def test_files_are_opened_again(tmp_path, write):
    run = untrained("same lower, average")
    file = tmp_path / "network"
    file.write_bytes(write(run))
    opened = load.load(file)
    assert (opened.image_shape, opened.class_names) == (run.image_shape, run.class_names)
    assert opened.experiment == run.experiment
    pixels = images(run, 5)
    np.testing.assert_allclose(opened.probabilities(pixels), run.probabilities(pixels), **CLOSE)


@pytest.mark.parametrize("write", [onnx_file.write, stablehlo.write, archive.write])
def test_any_changed_bit_is_refused(tmp_path, write):
    content = write(untrained("same lower, average"))
    file = tmp_path / "network"
    rng = np.random.default_rng(0)
    for place in [0, 9, len(content) - 1, *rng.integers(0, len(content), 60).tolist()]:
        changed = bytearray(content)
        changed[place] ^= 1 << int(rng.integers(8))
        file.write_bytes(bytes(changed))
        with pytest.raises(ConfigError, match=r"--model: network (is damaged|has no checksum)"):
            load.load(file)
    file.write_bytes(content[:-5])
    with pytest.raises(ConfigError, match="--model: network"):
        load.load(file)
    with pytest.raises(ConfigError, match="cannot read"):
        load.load(tmp_path / "none")


@pytest.mark.parametrize(("write", "name"), [(onnx_file.write, "onnx"), (stablehlo.write, "stablehlo")])
def test_networks_that_no_file_can_hold_are_refused_with_their_size(monkeypatch, write, name):
    run = untrained("same lower, average")
    numbers = summarize(run.experiment.model, run.image_shape, 10).parameters
    monkeypatch.setattr("cnn_jax.export.program.LARGEST_FILE", 4 * numbers - 1)
    with pytest.raises(ConfigError, match=rf"--format={name}: .* {4 * numbers:,} bytes.*--format=safetensors"):
        write(run)
    monkeypatch.setattr("cnn_jax.export.program.LARGEST_FILE", 4 * numbers)
    refuse_too_large(run, name)


def test_another_version_says_what_reads_it(tmp_path, monkeypatch):
    monkeypatch.setattr("cnn_jax.export.description.FORMAT", 9)
    file = tmp_path / "network"
    file.write_bytes(archive.write(untrained("same lower, average")))
    monkeypatch.undo()
    with pytest.raises(ConfigError, match=r"has format 9, and this version reads 1; cnn_jax 0\.1\.0"):
        load.load(file)
    monkeypatch.setattr("cnn_jax.__version__", "9.9")
    content = archive.write(untrained("same lower, average"))
    monkeypatch.undo()
    changed = content.replace(b'\\"padding\\"', b'\\"qadding\\"')
    assert changed != content
    mark = re.search(rb"cnn_jax-sha256:[0-9a-f]{64}", changed)[0]
    file.write_bytes(seal.seal(changed.replace(mark, seal.PLACE.encode())))
    with pytest.raises(ConfigError, match=r"does not know or misses: .*qadding.*; cnn_jax 9\.9, which wrote it, reads"):
        load.load(file)


def test_stablehlo_names_the_package_that_is_missing(tmp_path, monkeypatch):
    file = tmp_path / "network"
    file.write_bytes(stablehlo.write(untrained("same lower, average")))
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "flatbuffers" else find(name))
    with pytest.raises(ConfigError, match="--format=stablehlo: needs the package flatbuffers; pip install flatbuffers"):
        stablehlo.write(untrained("same lower, average"))
    with pytest.raises(ConfigError, match="--model: network needs the package flatbuffers; pip install flatbuffers"):
        load.load(file)


def test_tflite_names_the_package_that_is_missing(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "litert_converter", None)
    monkeypatch.setitem(sys.modules, "ai_edge_litert", None)
    with pytest.raises(ConfigError, match="needs the package litert-converter"):
        tflite_file.write(untrained("same lower, average"))
    file = tmp_path / "network"
    file.write_bytes(seal.seal(b"abcdTFL3" + seal.PLACE.encode()))
    with pytest.raises(ConfigError, match="needs the package ai-edge-litert"):
        load.load(file)
