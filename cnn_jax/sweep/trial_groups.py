"""Groups of trials that one worker trains at a time: single trials, or the seeds of a point as an ensemble."""

from __future__ import annotations

from collections.abc import Sequence

from cnn_jax.sweep.folder import Entry
from cnn_jax.sweep.trial import Trial

TrialGroup = tuple[Entry, ...]  # whose configs differ in the seed alone


def alone(entries: Sequence[Entry]) -> list[TrialGroup]:
    """Makes a group of every trial."""
    return [(entry,) for entry in entries]


def by_point(entries: Sequence[Entry]) -> list[TrialGroup]:
    """Groups the seeds of each point, where their images lie on the devices and their states are not split.

    Args:
      entries: The trials.

    Returns:
      The groups, in the order of their first trials.
    """
    groups: dict[str, list[Entry]] = {}
    for entry in entries:
        groups.setdefault(_point(entry.trial) or entry.id, []).append(entry)
    return [tuple(trials) for trials in groups.values()]


def _point(trial: Trial) -> str | None:
    """The config without its seed; None where it cannot be trained with others."""
    experiment = trial.experiment
    on_devices = getattr(experiment.data, "memory", None) == "device"  # records have no such choice
    if not on_devices or experiment.train.shard_optimizer or experiment.train.shard_dense:
        return None
    return experiment.model_copy(update={"seed": 0}).model_dump_json()
