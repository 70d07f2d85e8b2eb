"""The diffs of CONTRIBUTING.md: applied to a copy of the package, what each adds works everywhere."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from support import quick_programs

ROOT = Path(__file__).parents[1]
DIFFS = re.findall(r"```diff\n(.*?)```", (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8"), re.DOTALL)
PROGRAM = """
import contextlib, io, json, pathlib, sys
import jax.numpy as jnp
import numpy as np
import cnn_jax
from cnn_jax import config, geometry, models, ops
from cnn_jax.cli.main import main
from cnn_jax.config.model import NETWORKS
from cnn_jax.config.optimizer import OPTIMIZERS
from cnn_jax.train import metrics, optimizer

def words(*argv):
    with contextlib.redirect_stdout(io.StringIO()) as text, contextlib.redirect_stderr(text):
        return main(argv), " ".join(text.getvalue().split())

found = {"package": cnn_jax.__file__, "help": words("train", "--help"), "listed": words("optimizers")}
found["typo"] = words("train", "--config=experiment.py", "--config.model.name=vgg12", "--workdir=never")
found["vgg11"] = geometry.summarize(NETWORKS["vgg11"].config(), (224, 224, 3), 1000).parameters

lion = optimizer.build(OPTIMIZERS["lion"].config(weight_decay=0.0))
state = lion.init(jnp.zeros(2))
found["lion"] = []
for gradient in ([10.0, -1.0], [-0.5, 1.0]):
    updates, state = lion.update(jnp.asarray(gradient), state, jnp.zeros(2))
    found["lion"].append(updates.tolist())

x = np.arange(48, dtype=np.float32).reshape(1, 6, 8, 1) ** 2
kernel = np.random.default_rng(0).standard_normal((5, 3, 1, 2)).astype(np.float32)
padded = np.pad(x, ((0, 0), (2, 2), (1, 1), (0, 0)), "symmetric")
expected = ops.conv2d(padded, kernel, padding="VALID")
given = ops.conv2d(x, kernel, padding="SYMMETRIC")
found["symmetric"] = [float(jnp.abs(given - expected).max()), float(jnp.abs(expected).max()), list(given.shape)]

labels, predicted = [0, 0, 1, 2, 2], [0, 1, 1, 0, 2]  # of four classes; the last example fills up a batch
logits, targets = (jnp.eye(4)[jnp.asarray(numbers)] for numbers in (predicted, labels))
sums = metrics.measure(logits, targets, jnp.asarray([1.0, 1, 1, 1, 0]))
found["recall"] = metrics.means(sums + metrics.Sums.zero(4), 4)["recall"]

found["trained"] = words("train", "--config=experiment.py", "--workdir=run", "--noreport")
found["result"] = json.loads(pathlib.Path("run/result.json").read_text())
found["report"] = words("report", "--workdir=run")
found["page"] = "mean recall of a class" in pathlib.Path("run/report/index.html").read_text()
pathlib.Path("found.json").write_text(json.dumps(found))
"""


@pytest.fixture(scope="module")
def found(line_data, tmp_path_factory):
    """Findings of a process that uses the extended copy."""
    folder = tmp_path_factory.mktemp("extended")
    shutil.copytree(ROOT / "cnn_jax", folder / "cnn_jax")
    environment = quick_programs.environment(os.environ) | {
        "PYTHONPATH": str(folder),
        "GIT_CEILING_DIRECTORIES": str(folder.parent),
    }
    for diff in DIFFS:
        subprocess.run(["git", "apply", "-"], input=diff, text=True, check=True, cwd=folder, env=environment)
    experiment = {
        "data": line_data | {"train_examples": 16, "test_examples": 12},
        "model": {"name": "vgg11", "features": (2, 3, 4, 4, 5, 5, 5, 5), "dense": (6,), "padding": "SYMMETRIC"},
        "optimizer": {"name": "lion"},
        "train": {"epochs": 1, "batch_size": 8},
        "log": {"tensorboard": False},
    }
    (folder / "experiment.py").write_text(f"def get_config():\n    return {experiment!r}\n")
    command = [sys.executable, "-c", PROGRAM]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads((folder / "found.json").read_text())
    assert Path(found["package"]).is_relative_to(folder)
    return found


def test_each_is_an_entry_and_at_most_one_other_file():
    changed = [re.findall(r"^\+\+\+ b/(\S+)", diff, re.MULTILINE) for diff in DIFFS]
    assert len(DIFFS) == 5
    assert all(len(files) <= 2 for files in changed), changed


def test_a_network(found):
    assert found["vgg11"] == 132_863_336  # torchvision's vgg11
    # 3x3 kernels and biases: 1 to 2, 3, 4, 4, 5, 5, 5, 5 maps; then 5 to 6 to 3 values
    assert found["result"]["parameters"] == 20 + 57 + 112 + 148 + 185 + 3 * 230 + 36 + 21
    code, text = found["help"]
    assert code == 0
    assert "vgg11: Simonyan and Zisserman, 2015, table 1, column A" in text
    assert "[with name=vgg11]" in text
    code, text = found["typo"]
    assert code == 2
    assert "did you mean 'vgg11'" in text


def test_an_optimizer(found):
    """The sign of 0.9 m + 0.1 g, where m is 0 and then 0.01 of the first gradient."""
    assert found["lion"] == [[1, -1], [1, 1]]
    assert "lion: Chen et al., 2023" in found["help"][1]


def test_a_padding_dialect(found):
    difference, largest, shape = found["symmetric"]
    assert difference <= 1e-6 * largest
    assert largest > 0
    assert shape == [1, 6, 8, 2]
    assert "SYMMETRIC" in found["help"][1]


def test_a_metric(found):
    assert found["recall"] == pytest.approx((1 / 2 + 1 + 0) / 3)  # the fourth class has no example
    assert found["trained"][0] == 0, found["trained"][1]
    assert 0 <= found["result"]["test_recall"] <= 1
    assert found["report"][0] == 0
    assert found["page"]


def test_a_command(found):
    assert found["listed"] == [
        0,
        "lion Chen et al., 2023: the sign of two averages' mixture sgd stochastic gradient descent "
        "rmsprop Tieleman and Hinton, 2012, as TensorFlow has it "
        "adam Kingma and Ba, 2015 adamw Loshchilov and Hutter, 2019: decoupled weight decay",
    ]
