"""Which trials are trained by one process at a time: each alone, or the seeds of a point together."""

from __future__ import annotations

from collections.abc import Sequence

from cnn_jax.sweep.folder import Entry
from cnn_jax.sweep.trial import Trial

Team = tuple[Entry, ...]  # whose configs differ in the seed alone


def alone(entries: Sequence[Entry]) -> list[Team]:
    """Every trial by itself."""
    return [(entry,) for entry in entries]


def by_point(entries: Sequence[Entry]) -> list[Team]:
    """The seeds of a point together, where their images lie on the devices and their states are not split.

    Args:
      entries: trials.

    Returns:
      The teams, in the order of their first trials.
    """
    teams: dict[str, list[Entry]] = {}
    for entry in entries:
        teams.setdefault(_point(entry.trial) or entry.id, []).append(entry)
    return [tuple(team) for team in teams.values()]


def _point(trial: Trial) -> str | None:
    """The config without its seed; None where it cannot be trained with others."""
    experiment = trial.experiment
    if experiment.data.name == "records" or experiment.train.shard_optimizer or experiment.train.shard_dense:
        return None
    return experiment.model_copy(update={"seed": 0}).model_dump_json()
