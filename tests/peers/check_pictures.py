"""Photographs through `predict --pretrained`, beside torchvision with its own preprocessing and the same weights."""

import json
import os
import subprocess
from pathlib import Path

import numpy as np
import pytest
import safetensors
import sklearn.datasets

from cnn_jax.cli import main
from cnn_jax.pretrained.published import PUBLISHED

# One of each family that is quick; `--networks=all` takes all, in a quarter of an hour.
QUICK = ("squeezenet1_1", "resnet18", "mobilenet_v2", "mobilenet_v3_small", "efficientnet_b0")
PHOTOGRAPHS = Path(sklearn.datasets.__file__).parent / "images"


def pytest_generate_tests(metafunc):
    networks = metafunc.config.getoption("--networks")
    names = QUICK if networks is None else tuple(PUBLISHED) if networks == "all" else networks.split(",")
    metafunc.parametrize("name", names)


def test_probabilities_are_torchvisions(name, pytestconfig, tmp_path, capsys):
    peers = pytestconfig.getoption("--peers")
    if not peers:
        pytest.fail("--peers=PYTHON is missing; `make test-peers` passes it")
    photographs = pytestconfig.getoption("--photographs") or str(PHOTOGRAPHS)
    (tmp_path / "packages").mkdir()
    (tmp_path / "packages" / "safetensors").symlink_to(Path(safetensors.__file__).parent)
    words = [str(Path(peers)), "-m", "peers.torchvision_pictures", str(tmp_path), photographs, name]
    environment = os.environ | {"PYTHONPATH": str(tmp_path / "packages")}
    done = subprocess.run(
        words, cwd=Path(__file__).parents[1], env=environment, check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-2000:]
    folder = tmp_path / name
    found = json.loads((folder / "found.json").read_text())
    for file, expected in found["files"].items():
        how = PUBLISHED[name].for_file(file, "torchvision")
        assert {field: getattr(how, field) for field in expected} == expected, file
    for weights in sorted(file for file in folder.iterdir() if file.suffix in (".pth", ".safetensors")):
        capsys.readouterr()
        flags = (f"--pretrained={weights}", f"--model={name}", f"--images={folder}", "--format=json")
        assert main.main(["predict", *flags]) == 0
        rows = {Path(row["file"]).name: row for row in json.loads(capsys.readouterr()[0])}
        assert rows.keys() == found["pictures"].keys()
        for picture, probabilities in found["pictures"].items():
            got = np.array(list(rows[picture]["probabilities"].values()))
            # torchvision resizes to whole pixels and cuts then, this project resizes the middle alone, to fractions:
            # drawn weights, which respond to every pixel, tell them apart. Inception's middle is always such a one.
            is_exact = "sized" in picture and name != "inception_v3"
            np.testing.assert_allclose(got, probabilities, atol=1e-5 if is_exact else 5e-2, err_msg=picture)
        all_probabilities = np.array(list(found["pictures"].values()))
        assert all_probabilities.max() > 0.02, "they are no uniform ones"
