"""Trials and their names: the hash of all that a result depends on, code and hardware apart."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from typing import Any

from cnn_jax.config import Experiment
from cnn_jax.plain_text import plain
from cnn_jax.sweep.space import Named


@dataclasses.dataclass(frozen=True)
class Trial:
    """One run of a sweep.

    Attributes:
      number: Its place in the sweep, from 1.
      overrides: Dotted field to value, as `get_sweep()` gave them.
      point: The same as tables and plots show it: named values by their names, sections in few words.
      experiment: The resolved config.
    """

    number: int
    overrides: Mapping[str, Any]
    point: Mapping[str, Any]
    experiment: Experiment

    def __str__(self) -> str:
        return ", ".join(f"{field}={plain(short(value))}" for field, value in self.point.items()) or "(no overrides)"


def trial_id(experiment: Experiment, data_checksum: str) -> str:
    """Names a trial.

    Args:
      experiment: The resolved config, whose every field counts.
      data_checksum: Checksum of the data set's content.

    Returns:
      16 hexadecimal digits; another config or other data give others.
    """
    return digest(experiment.model_dump(mode="json"), data_checksum)


def digest(config: Any, data_checksum: str) -> str:
    """Names the trial whose config.json has this content; see `trial_id`."""
    content = {"config": config, "data": data_checksum}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]


def shown(value: Any) -> Any:
    """A field's value as tables and plots show it."""
    if isinstance(value, Named):
        return value.name
    return short(value) if isinstance(value, Mapping) else value


def short(value: Any) -> str:
    """A field's value in few words: a section by its name and what else it sets."""
    if isinstance(value, Mapping):
        named = [str(value["name"])] if "name" in value else []
        return "{" + ", ".join([*named, *(f"{key}={short(own)}" for key, own in value.items() if key != "name")]) + "}"
    if isinstance(value, (list, tuple)):
        return "(" + ",".join(map(short, value)) + ")"
    return str(value)
