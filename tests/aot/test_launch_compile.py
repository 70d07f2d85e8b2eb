"""The verb from the command line: the lecture's network for this machine's CPU, refusals, and TPUs where libtpu is."""

import importlib.util
import json
import os
from pathlib import Path

import pytest
from support import quick_programs

from cnn_jax.aot import compiler
from cnn_jax.aot.job import Compiled, Job
from cnn_jax.cli import main as launch
from cnn_jax.config.parsing import parse

ROOT = Path(__file__).parents[2]
LECTURE = ROOT / "experiments" / "fashion_mnist_lecture.py"
WITH_LIBTPU = pytest.mark.skipif(importlib.util.find_spec("libtpu") is None, reason="needs requirements-tpu.txt")


def test_the_lectures_network_for_the_cpu(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("XLA_FLAGS", quick_programs.environment(os.environ)["XLA_FLAGS"])
    words = ["compile", f"--config={LECTURE}", "--topology=cpu", "--batch_per_chip=8", f"--json={tmp_path}/costs.json"]
    assert launch.main(words) == 0
    table = capsys.readouterr().out
    assert "images of 28x28x1, 10 classes" in table
    assert "peaks not known" in table
    train, evaluation = json.loads((tmp_path / "costs.json").read_text())["steps"]
    assert (train["batch_per_chip"], train["fits"], train["collectives"]) == (8, True, [])
    # multiply-adds of one image forward 2,794,240, of which the first layer's 194,688 need no gradient of their input
    assert train["model_flops"] == 8 * (6 * 2_794_240 - 2 * 194_688)
    assert evaluation["model_flops"] == 8 * 2 * 2_794_240
    # 93,322 parameters with Adam's two means, and 8 images; counts and sums are a few numbers more
    assert 0 <= train["memory"]["arguments"] - (3 * 4 * 93_322 + 8 * 28 * 28) < 1024


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("", ("--topology: compile needs it",)),
        ("--topology=v5e:3x3", ("no slice of v5e", "v5e:2x4")),
        ("--topology=cpu --batch_per_chip=0", ("--batch_per_chip",)),
        ("--topology=cpu --image_shape=28x28", ("--image_shape: got '28x28'", "28x28x1")),
        ("--topology=cpu --json=no/such/folder/x.json", ("--json", "no folder")),
        ("--topology=cpu --classes=3", ("--classes: got 3", "have 10")),
        ("--topology=cpu --workdir=x", ("--workdir: not a flag of compile",)),
    ],
)
def test_refusals(words, told, capsys):
    assert launch.main(["compile", f"--config={LECTURE}", *words.split()]) == 2
    said = capsys.readouterr().err
    for part in told:
        assert part in said


@pytest.mark.skipif(importlib.util.find_spec("libtpu") is not None, reason="libtpu is here")
def test_without_libtpu(capsys):
    assert launch.main(["compile", f"--config={LECTURE}", "--topology=v5e:2x2"]) == 2
    assert "pip install -r requirements-tpu.txt" in capsys.readouterr().err


@pytest.mark.skipif(importlib.util.find_spec("jax_cuda12_plugin") is not None, reason="the CUDA plugin is here")
def test_without_the_cuda_plugin(capsys):
    assert launch.main(["compile", f"--config={LECTURE}", "--topology=h100"]) == 2
    assert "pip install --no-deps -r requirements-gpu-compile.txt" in capsys.readouterr().err


@WITH_LIBTPU
@pytest.mark.parametrize(("chips", "devices"), [("v5e:1x1", 1), ("v4:2x2x1", 4), ("v3:2x2", 8)])
def test_the_lectures_network_for_tpus(chips, devices, tmp_path):
    words = ["compile", f"--config={LECTURE}", f"--topology={chips}", "--batch_per_chip=32"]
    assert launch.main([*words, f"--json={tmp_path}/costs.json"]) == 0
    train, _ = json.loads((tmp_path / "costs.json").read_text())["steps"]
    assert (train["devices"], train["batch_per_chip"], train["fits"]) == (devices, 32, True)
    # what the matrix unit computes is at least the network's own arithmetic, less what is cut off at the borders
    assert 0.9 < train["flops"] / train["model_flops"] < 2
    assert bool(train["collectives"]) == (devices > 1)


@WITH_LIBTPU
@pytest.mark.parametrize("way", compiler.FALLBACKS)
def test_the_compiler_takes_the_options_of_every_fallback(way):
    experiment = parse({"model": {"features": (4,), "pooling": "max", "dense": ()}})
    job = Job(experiment, (10, 10, 1), 3, "v6e:1x1", "train", 8, way.options)
    assert isinstance(compiler.compile_program(job, pytest.fail).answer, Compiled)


@WITH_LIBTPU
def test_a_batch_that_cannot_fit(tmp_path, capsys):
    words = ["compile", f"--config={LECTURE}", "--topology=v5e:1x1", "--batch_per_chip=1000000"]
    assert launch.main(words) == 1
    told = capsys.readouterr().out
    assert "DOES NOT FIT" in told
    assert "--batch_per_chip=" in told
