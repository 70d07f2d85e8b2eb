"""Published networks are used without a run: preprocessing, classes, faults."""

from pathlib import Path

import jax
import numpy as np
import pytest
from golden_weights import draw
from PIL import Image
from safetensors.numpy import save_file

from cnn_jax import models
from cnn_jax.cli import main
from cnn_jax.config.networks import SqueezeNet11
from cnn_jax.config.parsing import ConfigError
from cnn_jax.data.host.crops import CentreCrop
from cnn_jax.data.sources.evaluation_picture import read_middle
from cnn_jax.pretrained import WeightsError, from_torch, published_weights, to_torch
from cnn_jax.pretrained.published import PUBLISHED, imagenet_classes
from cnn_jax.train import restore

MEAN, STD = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """SqueezeNet 1.1's, drawn, in a file, and with ten classes in another."""
    folder, entries = tmp_path_factory.mktemp("weights"), draw("squeezenet1_1")
    save_file(entries, folder / "squeezenet1_1-b8a52dc0.safetensors")
    few = {name: array[:10] if name.startswith("classifier.1") else array for name, array in entries.items()}
    save_file({name: np.ascontiguousarray(array) for name, array in few.items()}, folder / "few.safetensors")
    return folder


@pytest.fixture(scope="module")
def picture(tmp_path_factory):
    """A picture whose shorter side is 256 pixels, so that nothing is resized."""
    path = tmp_path_factory.mktemp("pictures") / "noise.png"
    pixels = np.random.default_rng(0).integers(0, 256, (256, 300, 3), np.uint8)
    Image.fromarray(pixels).save(path)
    return path, pixels


def test_a_picture_by_hand(weights, picture, capsys):
    """The middle 224x224 of the pixels, standardised as torchvision does, through the network."""
    path, pixels = picture
    read = published_weights.read("squeezenet1_1", weights / "squeezenet1_1-b8a52dc0.safetensors")
    seen, changes = read_middle(path, read.view)
    np.testing.assert_array_equal(seen, pixels[16:240, 38:262])
    assert "224" in changes
    (found,) = restore.with_published(read).probabilities(seen[None])
    config = SqueezeNet11()
    standardised = ((pixels[16:240, 38:262] / 255 - MEAN) / STD).astype(np.float32)
    variables = from_torch(draw("squeezenet1_1"), config)
    model = models.create(config, 1000)
    logits = np.asarray(jax.jit(lambda v, x: model.apply(v, x, train=False)[0])(variables, standardised[None]))
    expected = np.exp(logits - logits.max())
    np.testing.assert_allclose(found, (expected / expected.sum())[0], rtol=1e-3, atol=1e-6)
    assert found.std() > 0
    words = (f"--pretrained={weights}/squeezenet1_1-b8a52dc0.safetensors", "--model=squeezenet1_1", f"--images={path}")
    assert main.main(["predict", *words, "--format=csv"]) == 0
    printed, said = capsys.readouterr()
    assert imagenet_classes()[int(found.argmax())] in printed.splitlines()[1]
    assert "squeezenet1_1 of torchvision: shorter side resized to 256 pixels (bilinear), the middle 224x224" in said


@pytest.mark.parametrize("name", ["convnext_tiny", "densenet121", "efficientnet_b0", "inception_v3", "resnet50"])
def test_networks_take_rgb_pictures_and_tell_their_classes(name, monkeypatch):
    """Whatever the order of their layers' names; nothing is computed."""
    config = PUBLISHED[name].config
    side = PUBLISHED[name].preprocessing.side
    shapes = models.create(config, 7).variable_shapes((side, side, 3))
    entries = to_torch(jax.tree.map(lambda leaf: np.zeros(leaf.shape, np.float32), shapes), config)
    monkeypatch.setattr(published_weights, "read_entries", lambda file: entries)
    read = published_weights.read(name, Path("drawn.pth"))
    assert read.image_shape == (side, side, 3)
    assert read.class_names == tuple("0123456")
    assert read.library == "torchvision"


def test_imagenets_classes():
    names = imagenet_classes()
    assert len(set(names)) == len(names) == 1000
    assert (names[0], names[281], names[999]) == ("tench", "tabby", "toilet tissue")


def test_another_number_of_classes_is_said(weights, picture, capsys):
    words = (f"--pretrained={weights}/few.safetensors", "--model=squeezenet1_1", f"--images={picture[0]}")
    assert main.main(["predict", *words]) == 0
    assert "the weights have 10 classes, not ImageNet's 1000; they are named by number" in capsys.readouterr()[1]


def test_preprocessing_is_the_files_weights():
    resnet = PUBLISHED["resnet50"]
    assert resnet.for_file("resnet50-0676ba61.pth", "torchvision").shorter_side == 256
    assert resnet.for_file("resnet50-11ad3fa6.pth", "torchvision").shorter_side == 232
    timm = PUBLISHED["mobilenet_v3_large"]
    assert timm.for_file("model.safetensors", "timm").interpolation == "bicubic"
    assert timm.config_for({}, "timm").norm_eps == 1e-5
    assert timm.config_for({}, "torchvision").norm_eps == 1e-3
    inception = PUBLISHED["inception_v3"]
    assert inception.config_for({"AuxLogits.fc.bias": 0}, "torchvision").aux_heads
    assert not inception.config_for({"fc.bias": 0}, "timm").aux_heads
    assert inception.preprocessing.mean == (0.5, 0.5, 0.5)  # what torchvision's transform_input makes of ImageNet's


def test_bicubic_pictures_are_pillows(tmp_path):
    pixels = np.random.default_rng(1).integers(0, 256, (512, 512, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    how = PUBLISHED["efficientnet_b0"].preprocessing
    view = CentreCrop(how.side, 3, how.shorter_side, how.interpolation)
    seen, _ = read_middle(tmp_path / "a.png", view)
    expected = Image.fromarray(pixels).resize((256, 256), Image.Resampling.BICUBIC)
    # the part alone is resized, a little of which Pillow sees beyond it
    difference = np.abs(seen.astype(int) - np.asarray(expected)[16:240, 16:240])[2:-2, 2:-2]
    assert difference.max() <= 1


def test_what_is_not_known_is_refused(weights, picture, tmp_path, capsys):
    with pytest.raises(ConfigError, match="did you mean 'resnet50'"):
        published_weights.read("resnet-50", weights / "few.safetensors")
    with pytest.raises(WeightsError, match=r"few\.safetensors, --model=resnet18: the weights do not fit"):
        published_weights.read("resnet18", weights / "few.safetensors")
    with pytest.raises(WeightsError, match=r"--pretrained: .*none: there is no file"):
        published_weights.read("resnet18", tmp_path / "none")
    assert main.main(["predict", f"--pretrained={weights}/few.safetensors", f"--images={picture[0]}"]) == 2
    assert "--pretrained: needs --model=NAME" in capsys.readouterr()[1]
    assert main.main(["predict", f"--pretrained={tmp_path}/none", "--model=vgg16", f"--images={picture[0]}"]) == 2
    assert "there is no file" in capsys.readouterr()[1]
