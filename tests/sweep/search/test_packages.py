"""A sampler's packages are asked for before a search starts."""

import importlib.metadata

import pytest

from cnn_jax.config.parsing import ConfigError
from cnn_jax.sweep import Search, uniform
from cnn_jax.sweep.search.packages import versions


def test_a_missing_package_is_told(monkeypatch):
    def version(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "version", version)
    with pytest.raises(ConfigError, match=r"needs numpy and optuna: pip install -r requirements-search.txt; random"):
        versions(Search({"train.label_smoothing": uniform(0, 1)}, trials=8, sampler="tpe"))
