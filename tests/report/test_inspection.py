"""`launch.py inspect`: its page and its files, what it refuses, and every network."""

import csv
import dataclasses
import io
import re

import jax
import numpy as np
import pytest
from html_page import Page
from in_browser import lies_well, show
from PIL import Image
from rich.console import Console
from support.tiny_networks import SIDE, TINY

from cnn_jax import models
from cnn_jax.cli.main import main
from cnn_jax.config.model import (
    AlexNet,
    CifarResNet,
    Cnn,
    GoogLeNet,
    LeNet5,
    ResNet,
    SqueezeNet10,
    SqueezeNet11,
    TorchvisionAlexNet,
    TorchvisionGoogLeNet,
)
from cnn_jax.config.parsing import parse
from cnn_jax.data.device.pipeline import Normalization
from cnn_jax.inspect import layer_choice
from cnn_jax.inspect.inspect_request import SECTIONS, InspectRequest
from cnn_jax.report.inspection import page as inspection_page
from cnn_jax.report.inspection import sections as inspection_sections
from cnn_jax.report.inspection.subject import SeenPicture, Source, Subject, open_subject
from cnn_jax.run.folder import RunFolder
from cnn_jax.train import restore
from cnn_jax.train.loop import train_and_evaluate
from cnn_jax.train.restore import FinishedRun
from cnn_jax.train.step import StepConfig

LAYERS = ("conv1/activation", "conv2/activation")


@pytest.fixture(scope="module")
def run(line_data, tmp_path_factory):
    """A finished run on grey pictures of lines, standardised."""
    experiment = {
        "data": line_data | {"normalize": "standardize"},
        "model": {"features": (4, 6), "pooling": ("max", "none"), "dense": ()},
        "optimizer": {"learning_rate": 1e-2},
        "train": {"epochs": 2, "batch_size": 32},
        "log": {"tensorboard": False},
    }
    folder = tmp_path_factory.mktemp("inspection") / "run"
    train_and_evaluate(parse(experiment), folder, console=Console(file=io.StringIO()))
    return folder


@pytest.fixture(scope="module")
def page(run, tmp_path_factory):
    """The page of that run with its standard choice, of a picture of another size and of colours."""
    folder = tmp_path_factory.mktemp("pictures")
    pixels = np.zeros((30, 40, 3), np.uint8)
    pixels[:, 12:28], pixels[..., 2] = (250, 120, 10), 60
    Image.fromarray(pixels).save(folder / "photo.png")
    target = folder / "page"
    words = [f"--images={folder / 'photo.png'}", f"--target={target}", "--classes=vertical", "--classes=2"]
    assert main(["inspect", f"--workdir={run}", *words]) == 0
    return target


def test_one_page_and_its_files(page):
    text = (page / "index.html").read_text()
    found = Page(text)
    assert found.sections == ["pictures", *SECTIONS]
    assert not [target for target in found.targets if not target.startswith(("data:", "#")) and "/" in target]
    assert {target for target in found.targets if target.endswith(".csv")} == {
        "patches.csv",
        "maximization.csv",
        "receptive_fields.csv",
        "behaviour.csv",
        "border.csv",
    }
    assert len(found.pictures) == len(list(page.glob("*.png")))
    assert all(len(picture["alt"]) > 20 for picture in found.pictures)
    assert len({picture["alt"] for picture in found.pictures}) == len(found.pictures)
    names = {path.name for path in page.glob("*.png")}
    assert {"kernels-conv1.png", "maps-conv2-activation-picture-1.png", "class-0-picture-1.png"} <= names
    assert {"patches-conv1-activation.png", "fields-sizes.png", "border-profiles.png"} <= names
    assert "40x30 to 10x10" in text
    assert "backpropagated to the pixels: by a deconvolutional network" in text
    assert "; by guided backpropagation, which also stops" in text


def test_pictures_are_the_viewers(page):
    """Never the normalised pixels: the original in its colours, and the network's in grey as Pillow resizes."""
    with Image.open(page / "picture-1-original.png") as shown:
        original = np.asarray(shown.convert("RGB"))
    assert original[0, 0].tolist() == [0, 0, 60]
    assert original[original.shape[0] // 2, original.shape[1] // 2].tolist() == [250, 120, 60]
    with Image.open(page / "picture-1.png") as shown:
        seen = np.asarray(shown)
    assert seen.shape == (170, 170)
    luma = {round(0.114 * 60), round(0.299 * 250 + 0.587 * 120 + 0.114 * 60)}
    assert {int(seen[5, 5]), int(seen.max())} == luma


def test_data_are_those_of_the_network(page, run):
    with (page / "behaviour.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert {row["change"] for row in rows} == {"shift", "rotation", "noise", "blur", "occlusion"}
    unchanged = [float(row["accuracy"]) for row in rows if float(row["level"]) == 0]
    assert unchanged == [pytest.approx(RunFolder(run).result().test_accuracy)] * 5
    with (page / "patches.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert {row["layer"] for row in rows} == set(LAYERS)
    with (page / "receptive_fields.csv").open() as file:
        sizes = {row["layer"]: float(row["theoretical_size"]) for row in csv.DictReader(file)}
    assert sizes["conv1"] == 3
    assert sizes["conv2"] == 8  # 3, then 4 by pooling, then 2 strides of 2 more


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--layers=conv9", r"--layers: no layer 'conv9'; did you mean 'conv[12]'\? The layers are: conv1, conv1/act"),
        ("--channels=6", "--channels: got 6, and no layer .* has such a channel: conv1/activation has 4, conv2/"),
        (
            "--classes=vertica",
            r"--classes: got 'vertica', expected one of vertical, horizontal, both, or a number from 0",
        ),
        ("--classes=3", "--classes: got '3', expected one of vertical"),
        ("--images={folder}/missing.png", "--images: there is no file or folder"),
        ("--images={folder}/text.png", "--images: .*text.png cannot be read as a picture"),
        ("--test_images=1", "--test_images: the section behaviour compares images, expected at least 2"),
        ("--rules=guide,gradient", "--rules: got 'guide', expected some of: deconvnet, guided, gradient"),
        ("--target={folder}", "--target: .* has files that this command did not write"),
        ("--workdir={folder}", "--workdir: .*config.json"),
    ],
)
def test_refused_before_anything_is_computed(words, message, run, tmp_path, capsys, monkeypatch):
    (tmp_path / "text.png").write_text("no picture")
    monkeypatch.setattr(inspection_sections, "pictures", None)
    given = words.format(folder=tmp_path)
    workdir = [] if given.startswith("--workdir") else [f"--workdir={run}"]
    assert main(["inspect", *workdir, given]) == 2
    assert re.search(message, capsys.readouterr().err)


def test_rules_need_rectifiers(run, tmp_path, monkeypatch, capsys):
    found = restore.load(run)
    model = found.experiment.model.model_copy(update={"activation": "gelu"})
    experiment = found.experiment.model_copy(update={"model": model})
    smooth = dataclasses.replace(found, experiment=experiment, config=StepConfig.of(experiment, 3))
    monkeypatch.setattr(restore, "load", lambda *_: smooth)
    words = ["inspect", f"--workdir={run}", f"--target={tmp_path / 'page'}", "--layers=conv1", "--sections=patches"]
    assert main([*words, "--rules=guided,gradient"]) == 2
    message = "--rules: guided changes the backward pass of rectifiers, and this network has none; use gradient"
    assert message in capsys.readouterr().err
    assert main([*words, "--channels=0", "--test_images=20"]) == 0
    text = (tmp_path / "page" / "index.html").read_text()
    assert "backpropagated to the pixels: by the gradient. Red" in text


def test_too_many(run, tmp_path, capsys):
    for number in range(17):
        Image.new("L", (10, 10), number).save(tmp_path / f"{number}.png")
    assert main(["inspect", f"--workdir={run}", f"--images={tmp_path}"]) == 2
    assert "--images: 17 pictures, expected at most 16" in capsys.readouterr().err


def test_classes_by_number_name_and_list(run):
    request = InspectRequest(classes=("BOTH, 0", "both"), sections=("kernels",))
    subject = open_subject(Source(run), request)
    assert subject.asked_classes == (2, 0)
    assert [seen.label for seen in subject.pictures] == [0, 1, 2]
    assert len(subject.pairs) == 6
    subject = open_subject(Source(run), InspectRequest(test_images=7))
    assert subject.test_numbers.tolist() == [0, 21, 42, 64, 85, 107, 128]
    assert [len(batch) for batch in subject.test_batches(3)] == [3, 3, 1]
    assert [number for _, number in subject.pairs] == subject.probabilities.argmax(axis=1).tolist()


NETWORKS = [
    (Cnn(features=(3, 4), dense=(5,)), (12, 12, 1)),
    (LeNet5(features=(2, 6, 4), dense=(5,)), (28, 28, 1)),
    (AlexNet(features=(4, 4, 6, 6, 4), dense=(8, 6)), (64, 64, 3)),
    (TorchvisionAlexNet(features=(4, 4, 6, 6, 4), dense=(8, 6)), (63, 63, 3)),
    (GoogLeNet(width=0.2, modules=(1, 1, 0), aux_dense=16), (65, 65, 3)),
    (TorchvisionGoogLeNet(width=0.2, modules=(1, 1, 0), aux_dense=16, aux_heads=True), (33, 33, 3)),
    (SqueezeNet10(width=0.05, modules=2, pool_after=(1,)), (25, 25, 3)),
    (SqueezeNet11(width=0.05, modules=3, pool_after=(1, 3)), (33, 33, 3)),
    (ResNet(width=4), (33, 33, 3)),
    (CifarResNet(depth=8, width=4), (16, 16, 3)),
    *((config, (SIDE, SIDE, 3)) for config in TINY),
]


def test_no_network_is_left_out():
    assert {config.name for config, _ in NETWORKS} == set(models.NETWORKS)


@pytest.mark.parametrize(("config", "shape"), [pytest.param(*case, id=case[0].name) for case in NETWORKS])
def test_every_network(config, shape):
    """Kernels and feature maps; what the other sections show is tested for every network where it is computed."""
    experiment = parse({"data": {"name": "fashion_mnist"}}).model_copy(update={"model": config})
    step, rng = StepConfig.of(experiment, 3), np.random.default_rng(0)
    shapes = step.network.variable_shapes(shape)
    run = FinishedRun(
        folder=None,
        experiment=experiment,
        result=None,
        image_shape=shape,
        class_names=("a", "b", "c"),
        config=step,
        normalization=Normalization(np.zeros(shape[2], np.float32), np.full(shape[2], 255, np.float32)),
        variables=jax.tree.map(lambda leaf: rng.uniform(0.1, 0.2, leaf.shape).astype(leaf.dtype), shapes),
    )
    pixels = rng.integers(0, 256, shape, np.uint8)
    picture = SeenPicture("picture 1", "random", pixels, pixels)
    layers = layer_choice.standard_layers(step.network, shape, 3)
    subject = Subject(run, InspectRequest(), (picture,), (), layers, ("kernels", "maps"), None, np.arange(0))
    sections = [inspection_sections.kernels(subject), inspection_sections.feature_maps(subject)]
    convolutions = [row.name for row in step.network.layers(shape) if row.kind == "conv"]
    assert [group.title for group in sections[0].groups] == convolutions
    assert [group.title for group in sections[1].groups] == list(layers)
    made = inspection_page.files(sections, name="run", about="about")
    assert len(made) == len(convolutions) + len(layers) + 1


def test_browser(browser, page):
    pictures = len(list(page.glob("*.png")))
    for width in (1280, 360):
        show(browser, page / "index.html", width)
        browser.execute_script("document.querySelectorAll('details').forEach(each => each.open = true)")
        lies_well(browser, width, ["pictures", *SECTIONS], pictures, smallest=160)
