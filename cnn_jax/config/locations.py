"""Where an experiment's files lie: the fields that say so, and the same experiment on files that were moved."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from cnn_jax.config.experiment import Experiment
from cnn_jax.config.parsing import ConfigError, override, parse

FIELDS = (
    *("idx_dir", "train_file", "test_file", "train_images", "train_labels", "test_images", "test_labels"),
    *("train_dir", "test_dir", "folder", "file", "data_dir", "archive"),
)
"""Fields of the section `data` that name files or folders. They say where the images lie, and not which these are."""


def paths(experiment: Experiment) -> dict[str, str]:
    """Gives the absolute paths of an experiment's data, by the field of the section `data` that names them.

    Paths that are no Unicode, which a working directory may be, are left out: no JSON file can hold them.
    """
    named = experiment.data.model_dump()
    given = {name: named[name] for name in FIELDS if isinstance(named.get(name), str)}
    absolute = {name: os.path.abspath(os.path.expanduser(path)) for name, path in given.items()}
    return {name: path for name, path in absolute.items() if path.encode(errors="replace").decode() == path}


def moved(experiment: Experiment, to: Mapping[str, str]) -> Experiment:
    """Gives an experiment whose data lie elsewhere.

    Args:
      experiment: The resolved config.
      to: Paths by the field of the section `data`.

    Raises:
      ConfigError: If its data source has no such field, or the path cannot be one.
    """
    if not to:
        return experiment
    own = type(experiment.data).model_fields
    if foreign := [name for name in to if name not in own]:
        here = ", ".join(f"--config.data.{name}" for name in FIELDS if name in own)
        raise ConfigError(
            [f"--config.data.{name}: the run's config.data.name={experiment.data.name} has: {here}" for name in foreign]
        )
    return parse(override(experiment, {f"data.{name}": path for name, path in to.items()}))


def located_as(experiment: Experiment, other: Experiment) -> Experiment:
    """Gives an experiment with the locations of another, so that the two can be compared without them."""
    sections: dict[str, Any] = {}
    if type(experiment.data) is type(other.data):
        there = {name: getattr(other.data, name) for name in FIELDS if hasattr(other.data, name)}
        # A test folder of its own, or none, are other data.
        same_kind = {n: path for n, path in there.items() if (path is None) == (getattr(experiment.data, n) is None)}
        sections["data"] = experiment.data.model_copy(update=same_kind)
    weights = other.pretrained.weights
    if weights is not None and experiment.pretrained.weights is not None:
        sections["pretrained"] = experiment.pretrained.model_copy(update={"weights": weights})
    return experiment.model_copy(update=sections)


def without(config: Mapping[str, Any]) -> dict[str, Any]:
    """Copies the content of a config.json without the locations of its data."""
    data = config.get("data")
    if not isinstance(data, Mapping):
        return dict(config)
    return {**config, "data": {name: value for name, value in data.items() if name not in FIELDS}}
