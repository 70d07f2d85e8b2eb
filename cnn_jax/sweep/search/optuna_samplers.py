"""Optuna's samplers, asked for whole batches; the one file that imports Optuna.

A study is built anew in memory for every batch, from the finished trials alone, with a seed of the search and the
batch, so that a batch depends on nothing else: no database, no arrival order, no state of a generator that a kill would
lose. CMA-ES keeps its state in the study, so its earlier batches are replayed from the first.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.trial import TrialState

from cnn_jax.sweep.ranges import Choices, Floats, Range
from cnn_jax.sweep.search.declaration import Search
from cnn_jax.sweep.search.samplers import Observation

_INFEASIBLE = 1.0  # violation of the constraint that a network can be trained at the point; 0 holds it


def suggest(search: Search, batch: int, count: int, observations: Sequence[Observation]) -> list[dict[str, Any]]:
    """Draws a batch of points; see `samplers.suggest`."""
    distributions = {field: _distribution(values) for field, values in search.space.items()}
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if search.sampler == "cma_es":
            study = _replayed(search, distributions, observations)
        else:
            study = optuna.create_study(sampler=_sampler(search, batch), direction="maximize")
            for each in observations:
                _add(study, each, search.space, distributions)
        asked = [study.ask(distributions) for _ in range(count)]
    return [_point(trial.params, search.space) for trial in asked]


def _sampler(search: Search, batch: int) -> optuna.samplers.BaseSampler:
    seed = int(np.random.SeedSequence([search.seed, batch]).generate_state(1)[0])
    if search.sampler == "tpe":
        return optuna.samplers.TPESampler(seed=seed, multivariate=True, constant_liar=True)
    if search.sampler == "gp":
        return optuna.samplers.GPSampler(seed=seed)
    return optuna.samplers.CmaEsSampler(seed=seed, popsize=max(search.batch_size, 2))


def _replayed(
    search: Search, distributions: Mapping[str, BaseDistribution], observations: Sequence[Observation]
) -> optuna.Study:
    """Replays all earlier batches; a point that cannot be trained counts as the worst so far."""
    study = optuna.create_study(sampler=_sampler(search, 0), direction="maximize")
    for batch in sorted({each.batch for each in observations}):
        members = [each for each in observations if each.batch == batch]
        asked = [study.ask(dict(distributions)) for _ in members]
        known = [_gain(each) for each in observations if each.batch <= batch and each.usable]
        worst = min((gain for gain in known if gain is not None), default=0.0)
        for trial, each in zip(asked, members, strict=True):
            gain = _gain(each)
            study.tell(trial, worst if gain is None else gain)
    return study


def _add(
    study: optuna.Study,
    observation: Observation,
    space: Mapping[str, Range],
    distributions: Mapping[str, BaseDistribution],
) -> None:
    """Adds an earlier point: finished, stopped at a rung with its value there, or infeasible."""
    params = {
        field: values.values.index(observation.values[field])
        if isinstance(values, Choices)
        else observation.values[field]
        for field, values in space.items()
    }
    gain = _gain(observation)
    complete = gain is None or observation.finished
    trial = optuna.trial.create_trial(
        state=TrialState.COMPLETE if complete else TrialState.PRUNED,
        value=(0.0 if gain is None else gain) if complete else None,
        params=params,
        distributions=dict(distributions),
        intermediate_values=dict(observation.gains),
    )
    trial.set_constraint("trainable", _INFEASIBLE if gain is None else 0.0)
    study.add_trial(trial)


def _gain(observation: Observation) -> float | None:
    """The value at the last rung; None where the point cannot be trained."""
    return observation.gains[max(observation.gains)] if observation.usable and observation.gains else None


def _distribution(values: Range) -> BaseDistribution:
    if isinstance(values, Choices):
        return CategoricalDistribution(tuple(range(len(values.values))))
    if isinstance(values, Floats):
        return FloatDistribution(values.low, values.high, log=values.log)
    return IntDistribution(values.low, values.high, log=values.log)


def _point(params: Mapping[str, Any], space: Mapping[str, Range]) -> dict[str, Any]:
    point: dict[str, Any] = {}
    for field, values in space.items():
        value = params[field]
        if isinstance(values, Choices):
            value = values.values[value]
        elif isinstance(values, Floats):
            value = values.rounded(value)
        point[field] = value
    return point
