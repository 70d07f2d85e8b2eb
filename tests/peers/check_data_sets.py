"""Data sets that TensorFlow and Hugging Face datasets write here and now are read pixel for pixel.

The environment is named by --tfds, a Python with tensorflow, tensorflow-datasets and datasets; without it nothing is
checked.
"""

import subprocess
from pathlib import Path

import numpy as np
import pytest

from cnn_jax import config as cfg
from cnn_jax import data


@pytest.fixture(scope="module")
def sets(pytestconfig, tmp_path_factory):
    if (python := pytestconfig.getoption("--tfds")) is None:
        pytest.skip("--tfds names no Python")
    folder = tmp_path_factory.mktemp("sets")
    program = f"from peers import data_sets; data_sets.write({str(folder)!r})"
    done = subprocess.run(
        [python, "-c", program], cwd=Path(__file__).parents[1], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    with np.load(folder / "pixels.npz") as pixels:
        yield folder, dict(pixels)


@pytest.mark.parametrize(("kind", "tolerance"), [("png", 0), ("jpeg", 1)])
def test_tfds(sets, kind, tolerance):
    folder, pixels = sets
    loaded = data.load(cfg.Tfds(dataset=f"smooth/{kind}", data_dir=str(folder / "tfds")), 0)
    for split, found in (("train", loaded.train), ("test", loaded.test)):
        expected = pixels[f"tfds_{kind}_{split}"].astype(int)
        assert len(found) == len(expected) > 0
        assert np.abs(found.images - expected).max() <= tolerance
        np.testing.assert_array_equal(found.labels, np.arange(len(expected)) % 3)


def test_parquet(sets):
    folder, pixels = sets
    loaded = data.load(cfg.Parquet(folder=str(folder / "parquet")), 0)
    for split, found in (("train", loaded.train), ("test", loaded.test)):
        np.testing.assert_array_equal(found.images, pixels[f"parquet_{split}"])
    assert loaded.class_names == ("cat", "dog", "boat")
