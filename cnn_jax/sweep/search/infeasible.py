"""Points of a search that cannot be trained: which of them stay in the table, and which end the search."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from cnn_jax.config.parsing import ConfigError
from cnn_jax.sweep.feasibility import Examined
from cnn_jax.sweep.trial import Trial


def check(batch: int, trials: Sequence[Trial], examined: Sequence[Examined]) -> None:
    """Checks that the trials of a batch fit their data, or at least some of them.

    Args:
      batch: Number of the batch, from 0.
      trials: The trials.
      examined: Findings about each of them.

    Raises:
      ConfigError: where the data cannot be had, or no trial of the first batch fits them.
    """
    faulty = [(trial, known) for trial, known in zip(trials, examined, strict=True) if known.fault is not None]
    lost = [(trial, known) for trial, known in faulty if not known.checksum]
    if lost or (faulty and not batch and len(faulty) == len(trials)):
        trial, known = (lost or faulty)[0]
        raise ConfigError([f"trial {trial.number} ({trial}): {known.fault}"])


def marked(known: Examined, max_multiply_adds: int | None) -> Examined:
    """Marks a trial as infeasible where it does not fit its data, or its network costs too much.

    Args:
      known: Findings about the trial.
      max_multiply_adds: Most multiply-adds of a network that the search allows; None for no limit.

    Returns:
      The findings, with the reason as `infeasible` in place of `fault`.
    """
    if known.fault is not None:
        return dataclasses.replace(known, fault=None, infeasible=known.fault)
    own, most = known.multiply_adds, max_multiply_adds
    if most is None or own is None or own <= most:
        return known
    return dataclasses.replace(known, infeasible=f"{own:,} multiply-adds an image, and the search allows {most:,}")
