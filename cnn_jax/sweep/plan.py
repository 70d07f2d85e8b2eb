"""From an experiment file's sweep to its trials, or to everything that is wrong with any of them; without JAX."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from cnn_jax.config import Experiment, experiment_file, parsing
from cnn_jax.config.parsing import ConfigError
from cnn_jax.plain_text import valid_unicode
from cnn_jax.sweep.points import point_key, values_at
from cnn_jax.sweep.space import Named, Overrides, Sweep
from cnn_jax.sweep.trial import Trial, short, shown
from cnn_jax.words import did_you_mean

MOST_TRIALS = 100_000  # of a sweep: each takes a millisecond to check
_SHOWN_FAULTS = 40  # of a sweep whose every trial has one


@dataclasses.dataclass(frozen=True)
class Plan:
    """A sweep whose configs are sound.

    Attributes:
      experiment: The file's name without its ending.
      sweep: Declaration in the experiment file.
      base: The config that the trials change, resolved.
      fields: Fields that vary, in declared order, without the seed.
      trials: All trials, in declared order; trials of one config are one.
      repeated: Number of points left out as copies of others.
    """

    experiment: str
    sweep: Sweep
    base: Experiment
    fields: tuple[str, ...]
    trials: tuple[Trial, ...]
    repeated: int

    @property
    def digest(self) -> str:
        """Names what all trials share: 8 hexadecimal digits."""
        return hashlib.sha256(self.base.model_dump_json().encode()).hexdigest()[:8]


def read(path: Path, overrides: Overrides) -> Plan:
    """Asks an experiment file for its trials and checks every one's config.

    Args:
      path: Path of the file, with get_config() and get_sweep().
      overrides: Overrides of the command line, for all trials.

    Returns:
      The plan.

    Raises:
      ConfigError: with all faults of all trials, each with the trial's number and overrides.
    """
    raw = experiment_file.load_config(path)
    base = parsing.parse(parsing.override(raw, overrides))
    sweep = _declared(path, experiment_file.load_sweep(path))
    varied = list(dict.fromkeys(field for point in sweep.trials for field in point))
    faults = [
        f"--config.{name}: the sweep varies it; leave it out, or choose trials with --sweep.only={name}=VALUE"
        for name in overrides
        if name in varied
    ]
    trials: dict[str, Trial] = {}
    total = len(sweep.trials)
    for number, given in enumerate(sweep.trials, start=1):
        place = f"trial {number} of {total}"
        try:
            point = {field: shown_value(value) for field, value in given.items()}
            values = {field: value.value if isinstance(value, Named) else value for field, value in given.items()}
            own = {field: plain_value(value) for field, value in values.items()}
            place += f" ({', '.join(f'{field}={short(value)}' for field, value in point.items())})"
            experiment = parsing.parse(parsing.override(parsing.override(raw, own), overrides))
        except ConfigError as error:
            faults += [f"{place}: {fault}" for fault in error.faults]
            continue
        except RecursionError:
            faults.append(f"{place}: a value holds itself, or is nested too deeply")
            continue
        trials.setdefault(experiment.model_dump_json(), Trial(number, own, point, experiment))
    faults += same_names(trials.values())
    fields = tuple(field for field in varied if field != "seed")
    if sweep.baseline is not None and not faults:
        faults += _unknown_baseline(sweep.baseline, fields, trials.values())
    if faults:
        raise ConfigError(some_of(faults))
    return Plan(valid_unicode(path.stem), sweep, base, fields, tuple(trials.values()), total - len(trials))


def choose(plan: Plan, only: Mapping[str, Any], limit: int | None) -> tuple[Trial, ...]:
    """The trials that are to run now.

    Args:
      plan: The sweep.
      only: Field to the value that it must have.
      limit: Most trials to run, the first ones; None for all.

    Returns:
      The trials, in order.

    Raises:
      ConfigError: where a field is none of the sweep's, or no trial is left.
    """
    known = [*plan.fields, "seed"]
    faults = []
    for field in only:
        if field not in known:
            hint = did_you_mean(field, known) or f"; the sweep varies: {', '.join(known)}"
            faults.append(f"--sweep.only: {field!r} is no field of the sweep" + hint)
    if faults:
        raise ConfigError(faults)
    chosen = [
        trial for trial in plan.trials if point_key(_value(trial, field) for field in only) == point_key(only.values())
    ]
    if not chosen:
        values = {
            field: ", ".join(dict.fromkeys(short(_value(trial, field)) for trial in plan.trials)) for field in only
        }
        choices = "; ".join(f"{field} takes {listed}" for field, listed in values.items())
        raise ConfigError(
            [f"--sweep.only: no trial has {', '.join(f'{k}={short(v)}' for k, v in only.items())}; {choices}"]
        )
    return tuple(chosen[:limit])


def some_of(faults: list[str]) -> list[str]:
    """The first faults, and how many more there are."""
    more = len(faults) - _SHOWN_FAULTS
    return faults[:_SHOWN_FAULTS] + [f"and {more} more"] * (more > 0)


def _declared(path: Path, given: Any) -> Sweep:
    """Checks what get_sweep() gave, and turns the scalars of NumPy and JAX in it into Python's."""
    sweep = given if isinstance(given, Sweep) else Sweep(given)
    points = sweep.trials
    source = f"--config: get_sweep() of {path} gave"
    if not isinstance(points, Sequence) or not all(isinstance(point, Mapping) for point in points):
        raise ConfigError([f"{source} {given!r}, expected a list of overrides, or a Sweep"])
    if not points:
        raise ConfigError([f"{source} no trials"])
    if len(points) > MOST_TRIALS:  # each is checked before the first starts
        raise ConfigError([f"{source} {len(points):,} trials, expected at most {MOST_TRIALS:,}: divide the sweep"])
    baseline, skip, words = sweep.baseline, parsing.plain(sweep.skip_infeasible), sweep.description
    faults = [
        f"{source} the field {field!r} ({type(field).__name__}) in point {number}, expected a dotted name"
        for number, point in enumerate(points, start=1)
        for field in point
        if not isinstance(field, str)
    ]
    if not (baseline is None or (isinstance(baseline, Mapping) and all(isinstance(field, str) for field in baseline))):
        faults.append(f"{source} Sweep(baseline={baseline!r}), expected a mapping of varied fields to values, or None")
    if not isinstance(skip, bool):
        faults.append(f"{source} Sweep(skip_infeasible={skip!r}), expected True or False")
    if not isinstance(words, str):
        faults.append(f"{source} Sweep(description={words!r}), expected text")
    if faults:
        raise ConfigError(some_of(faults))
    try:
        shown_baseline = baseline and {str(field): shown_value(value) for field, value in baseline.items()}
    except RecursionError:
        raise ConfigError([f"{source} a baseline in which a value holds itself"]) from None
    return Sweep(
        trials=[{str(field): value for field, value in point.items()} for point in points],
        description=valid_unicode(str(words)),
        baseline=shown_baseline,
        skip_infeasible=skip,
    )


def same_names(trials: Iterable[Trial]) -> list[str]:
    """Lists different trials that tables and plots could not tell apart.

    Args:
      trials: Trials, no two of one config.

    Returns:
      A message for each that has the name of an earlier one.
    """
    named: dict[str, Trial] = {}
    faults = []
    for trial in trials:
        first = named.setdefault(json.dumps(trial.point, sort_keys=True), trial)
        if first is not trial:
            faults.append(
                f"trials {first.number} and {trial.number} are different and have one name ({trial}); "
                'give values names of their own: Named("name", value)'
            )
    return faults


def shown_value(value: Any) -> Any:
    """A field's value as tables and plots show it, in Python's own types."""
    return plain_value(shown(value))


def plain_value(value: Any) -> Any:
    """A value whose scalars and arrays are Python's own, at every depth."""
    value = parsing.plain(value)
    if isinstance(value, Mapping):
        return {key: plain_value(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(map(plain_value, value)) if type(value) in (list, tuple) else [*map(plain_value, value)]
    return value


def _value(trial: Trial, field: str) -> Any:
    """Gives a trial's value of a field; None where the field is set by other trials only."""
    return trial.experiment.seed if field == "seed" else trial.point.get(field)


def _unknown_baseline(baseline: Mapping[str, Any], fields: tuple[str, ...], trials: Any) -> list[str]:
    """Lists fields and values of a baseline that no trial has."""
    faults = [
        f"baseline: {field!r} is no field that the sweep varies: {', '.join(fields)}"
        for field in baseline
        if field not in fields
    ]
    wanted = point_key(values_at(baseline, fields))
    if not faults and not any(point_key(values_at(trial.point, fields)) == wanted for trial in trials):
        point = ", ".join(f"{field}={short(baseline.get(field))}" for field in fields)
        faults = [f"baseline: no trial has {point}; name every varied field"]
    return faults
