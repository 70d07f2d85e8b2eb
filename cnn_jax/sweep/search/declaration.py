"""Result of an experiment file's `get_search()`: what is searched, and how."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, Literal, get_args

from cnn_jax.config.parsing import plain
from cnn_jax.sweep.ranges import Range
from cnn_jax.sweep.space import Named

Sampler = Literal["random", "halton", "sobol", "tpe", "cma_es", "gp"]
SAMPLERS: tuple[str, ...] = get_args(Sampler)
ADAPTIVE = ("tpe", "cma_es", "gp")  # which learn from the results of earlier batches
FULL_LENGTH = ("cma_es", "gp")  # which learn from trials of the full length alone


@dataclasses.dataclass(frozen=True)
class Halving:
    """Synchronous successive halving: of each batch the best 1/eta train on from rung to rung.

    Attributes:
      eta: Ratio of the numbers of trials, and of the epochs, of neighbouring rungs.
      min_epochs: Least epochs of the first rung; the last one is the full length.

    Source: K. Jamieson and A. Talwalkar, "Non-stochastic best arm identification and hyperparameter optimization",
      AISTATS (2016).
    """

    eta: int = 3
    min_epochs: int = 1


@dataclasses.dataclass(frozen=True)
class Hyperband:
    """Hyperband: brackets of successive halving in turn, from many short trials to few of the full length.

    Attributes:
      eta: Ratio of the numbers of trials, and of the epochs, of neighbouring rungs.
      min_epochs: Least epochs of the first rung; the last one is the full length.

    Source: L. Li, K. Jamieson, G. DeSalvo, A. Rostamizadeh, A. Talwalkar, "Hyperband: a novel bandit-based approach to
      hyperparameter optimization", JMLR 18 (2018).
    """

    eta: int = 3
    min_epochs: int = 1


# More than ten fields: one for each choice of the experimenter.
@dataclasses.dataclass(frozen=True)
class Search:
    """A search for the best values of some fields, by the validation images alone.

    Attributes:
      space: Range of each searched field.
      trials: Number of points that are drawn.
      sampler: Method that draws them: "random", "halton", "sobol"; or "tpe", "cma_es", "gp", which learn from results.
      batch: Points drawn at a time, each batch from the results of all before it; with Hyperband its brackets are the
        batches, and None is expected.
      seed: Seed of the sampler. The trials' own seed is that of the config.
      metric: Metric of the validation images that decides.
      stopping: Halving(), Hyperband(), or None to train every trial to the end.
      confirm: Number of best points that are trained anew on fresh seeds in the end; 0 confirms none.
      seeds: Fresh seeds of each of these.
      cores: Processor cores of a trial, whatever the machine and --jobs: on a CPU the last bits depend on it.
      description: Question of the search, for the report.
      overrides: Function from the values of a point to the config fields that it sets; the names in the space are then
        free. None: the names in the space are fields.
      max_multiply_adds: Most multiply-adds of a network, for one image, forward; a point above it does not train and
        counts as infeasible. None for no limit.
    """

    space: Mapping[str, Range]
    trials: int
    sampler: Sampler = "tpe"
    batch: int | None = None
    seed: int = 0
    metric: str = "accuracy"
    stopping: Halving | Hyperband | None = None
    confirm: int = 3
    seeds: int = 5
    cores: int = 1
    description: str = ""
    overrides: Callable[[Mapping[str, Any]], Mapping[str, Any]] | None = None
    max_multiply_adds: int | None = None

    @property
    def batch_size(self) -> int:
        """Points of a batch where Hyperband does not choose: eight, or those of `batch`."""
        return min(self.batch or 8, self.trials)


def identity(search: Search) -> dict[str, Any]:
    """Describes all that a search's trials depend on, as JSON; a function of the file shows in the points alone."""
    described = {
        field.name: getattr(search, field.name)
        for field in dataclasses.fields(search)
        if field.name not in ("space", "stopping", "description", "overrides", "max_multiply_adds")
    }
    if search.max_multiply_adds is not None:
        described["max_multiply_adds"] = search.max_multiply_adds
    stopping = search.stopping
    described["stopping"] = stopping and {"name": type(stopping).__name__, **dataclasses.asdict(stopping)}
    described["space"] = {field: _described(values) for field, values in search.space.items()}
    return described


def _described(values: Range) -> list[Any]:
    return [type(values).__name__, *(as_json(getattr(values, each.name)) for each in dataclasses.fields(values))]


def as_json(value: Any) -> Any:
    """Gives a value of a range as JSON has it."""
    value = plain(value)
    if isinstance(value, Named):
        return [as_json(value.name), as_json(value.value)]
    if isinstance(value, Mapping):
        return {str(key): as_json(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [as_json(entry) for entry in value]
    return value
