"""Packages that a sampler's points depend on, and their versions; nothing is imported."""

from __future__ import annotations

import importlib.metadata

from cnn_jax.config.parsing import ConfigError
from cnn_jax.sweep.search.declaration import ADAPTIVE, Search

_PACKAGES = {
    "random": ("numpy",),
    "halton": ("numpy", "scipy"),
    "sobol": ("numpy", "scipy"),
    "tpe": ("numpy", "optuna"),
    "cma_es": ("numpy", "optuna", "cmaes"),
    "gp": ("numpy", "scipy", "optuna", "torch"),
}


def versions(search: Search) -> dict[str, str]:
    """Lists the versions of the packages that a search's points depend on.

    Raises:
      ConfigError: where one of them is not installed.
    """
    found, missing = {}, []
    for package in _PACKAGES[search.sampler]:
        try:
            found[package] = importlib.metadata.version(package).partition("+")[0]
        except importlib.metadata.PackageNotFoundError:
            missing.append(package)
    if missing:
        others = ", ".join(sampler for sampler in _PACKAGES if sampler not in ADAPTIVE)
        how = "pip install -r requirements-search.txt" if missing != ["torch"] else "pip install torch"
        raise ConfigError(
            [f"sampler={search.sampler!r} needs {' and '.join(missing)}: {how}; {others} need nothing more"]
        )
    return found
