"""A small folder of records, made from JPEGs of ImageNet's shapes at a fifth of their size."""

import pytest

from cnn_jax.data import convert
from scripts import imagenet_shaped


@pytest.fixture(scope="session")
def jpegs(tmp_path_factory):
    """train/ and val/ with 54 and 6 JPEGs of three classes."""
    folder = tmp_path_factory.mktemp("jpegs")
    imagenet_shaped.main([f"--target={folder}", "--pictures=60", "--classes=3", "--scale=0.2"])
    return folder


@pytest.fixture(scope="session")
def records_folder(jpegs):
    return convert.prepare(jpegs, jpegs / "records", test_fraction=0.2)
