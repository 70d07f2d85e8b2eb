"""Samplers of a search: the next batch as a pure function of the search and of what is finished."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from cnn_jax.config.parsing import ConfigError
from cnn_jax.sweep import ranges
from cnn_jax.sweep.search.declaration import ADAPTIVE, Search

_PACKAGES = {
    "random": ("numpy",),
    "halton": ("numpy", "scipy"),
    "sobol": ("numpy", "scipy"),
    "tpe": ("numpy", "optuna"),
    "cma_es": ("numpy", "optuna", "cmaes"),
    "gp": ("numpy", "scipy", "optuna", "torch"),
}


class Told(NamedTuple):
    """A point of an earlier batch, as a sampler is told of it.

    Attributes:
      batch: Number of its batch, from 0.
      values: Value of each field.
      gains: By epoch of a rung, a value of which more is better.
      usable: Whether a network can be built and trained at the point.
      finished: Whether it was trained to the end.
    """

    batch: int
    values: Mapping[str, Any]
    gains: Mapping[int, float]
    usable: bool
    finished: bool


def suggest(search: Search, batch: int, count: int, told: Sequence[Told]) -> list[dict[str, Any]]:
    """Draws a batch of points.

    Args:
      search: The search.
      batch: Number of the batch, from 0.
      count: Number of points.
      told: All points of earlier batches, in their order.

    Returns:
      The points.
    """
    first = len(told)
    if search.sampler == "random":
        shares = np.random.default_rng([search.seed, batch]).random((count, len(search.space)))
        return ranges.at_shares(search.space, shares.tolist())
    if search.sampler == "halton":
        return ranges.halton(search.space, search.trials, search.seed)[first : first + count]
    if search.sampler == "sobol":
        power = 2 ** (search.trials - 1).bit_length()
        return ranges.sobol(search.space, power, search.seed)[first : first + count]
    from cnn_jax.sweep.search import optuna_samplers

    return optuna_samplers.suggest(search, batch, count, told)


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
