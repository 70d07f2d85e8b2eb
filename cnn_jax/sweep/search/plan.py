"""From an experiment file's search to a sound plan, or to everything that is wrong with it; without JAX."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from cnn_jax.config import Experiment, experiment_file, parsing
from cnn_jax.config.parsing import ConfigError
from cnn_jax.plain_text import valid_unicode
from cnn_jax.run.machine import available_cores
from cnn_jax.run.metrics import METRICS, Metric
from cnn_jax.sweep.plan import plain_value, shown_value
from cnn_jax.sweep.ranges import MOST_POINTS, Choices, Range, halton
from cnn_jax.sweep.search.declaration import (
    ADAPTIVE,
    FULL_LENGTH,
    SAMPLERS,
    Halving,
    Hyperband,
    Search,
    as_json,
    identity,
)
from cnn_jax.sweep.search.packages import versions
from cnn_jax.sweep.search.rungs import Bracket, brackets
from cnn_jax.sweep.space import Named, Overrides
from cnn_jax.sweep.trial import short, shown
from cnn_jax.words import did_you_mean

_FIXED = ("seed", "train.epochs", "train.eval_every_epochs", "data.validation_fraction", "data.name")
_SAMPLED = 64  # points at which an experiment file's function is tried before anything starts


@dataclasses.dataclass(frozen=True)
class SearchPlan:
    """A search that is sound.

    Attributes:
      experiment: The file's name without its ending.
      search: Declaration in the experiment file.
      raw: The config that the trials change, not yet validated.
      base: The same, resolved.
      brackets: Its batches.
      versions: Versions of the packages that its points depend on.
    """

    experiment: str
    search: Search
    raw: Mapping[str, Any]
    base: Experiment
    brackets: tuple[Bracket, ...]
    versions: Mapping[str, str]

    @property
    def metric(self) -> Metric:
        """The metric of the validation images that decides."""
        return next(each for each in METRICS if each.name == self.search.metric)

    @property
    def budget(self) -> int:
        """Epochs that all trials of the search train together at most, without the confirmation."""
        return sum(bracket.cost for bracket in self.brackets)

    @property
    def digest(self) -> str:
        """Names the search: 8 hexadecimal digits of its config and of all that its points depend on."""
        content = {"config": self.base.model_dump(mode="json"), "search": identity(self.search)}
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:8]


def read(path: Path, overrides: Overrides, changes: Mapping[str, Any] | None = None) -> SearchPlan:
    """Asks an experiment file for its search and checks it.

    Args:
      path: Path of the file, with get_config() and get_search().
      overrides: Overrides of the command line, for all trials.
      changes: Fields of the search that replace the file's.

    Returns:
      The plan.

    Raises:
      ConfigError: with all faults.
    """
    raw = parsing.override(experiment_file.load_config(path), overrides)
    base = parsing.parse(raw)
    search = experiment_file.load_sweep(path, "search")
    if not isinstance(search, Search):
        raise ConfigError([f"--config: get_search() of {path} gave {search!r}, expected a Search"])
    search = dataclasses.replace(_plain(search), **(changes or {}))
    faults = _faulty_numbers(search) + _faulty_ranges(search)
    if not faults:
        faults = _faulty_choices(search) + _faulty_length(search, base) + _faulty_fields(search, raw, overrides)
        if base.data.validation_fraction == 0:
            faults.append(
                "a search decides by validation images, and config.data.validation_fraction is 0; "
                "set config.data.validation_fraction=0.1"
            )
    if faults:
        raise ConfigError([fault if fault.startswith("config.") else f"get_search(): {fault}" for fault in faults])
    known = versions(search)
    return SearchPlan(valid_unicode(path.stem), search, raw, base, brackets(search, base.train.epochs), known)


def overrides_of(search: Search, values: Mapping[str, Any]) -> dict[str, Any]:
    """Gives the config fields that a point sets.

    Args:
      search: The search.
      values: Value of each name in its space.

    Returns:
      Dotted field to value, in Python's own types.

    Raises:
      ConfigError: where the experiment file's function fails, or gives something else.
    """
    own = {name: value.value if isinstance(value, Named) else value for name, value in values.items()}
    if search.overrides is None:
        return {field: plain_value(value) for field, value in own.items()}
    source = "overrides of the point " + ", ".join(f"{name}={short(shown(value))}" for name, value in values.items())
    try:
        given = search.overrides(own)
    except (Exception, SystemExit) as error:  # the function is the experimenter's, and may raise anything
        raise ConfigError([f"{source}: {type(error).__name__}: {error}"]) from error
    if not isinstance(given, Mapping) or not all(isinstance(field, str) for field in given):
        raise ConfigError([f"{source}: got {given!r}, expected a mapping of dotted fields to values"])
    return {field: plain_value(value) for field, value in given.items()}


def _plain(search: Search) -> Search:
    """Turns the scalars of NumPy and JAX into Python's, and a description into text that files can hold."""
    numbers = ("trials", "batch", "seed", "confirm", "seeds", "cores", "max_multiply_adds")
    plain = {name: parsing.plain(getattr(search, name)) for name in numbers}
    if isinstance(search.description, str):
        plain["description"] = valid_unicode(search.description)
    return dataclasses.replace(search, **plain)


def _faulty_numbers(search: Search) -> list[str]:
    """Finds numbers and words of a search that are out of bounds."""
    faults = []
    bounds = {
        "trials": (1, MOST_POINTS),
        "batch": (1, MOST_POINTS),
        "seed": (0, 2**31 - 1),
        "confirm": (0, 1000),
        "seeds": (1, 1000),
        "cores": (1, available_cores()[-1] + 1),
        "max_multiply_adds": (1, 10**18),
    }
    for name, (least, most) in bounds.items():
        value = getattr(search, name)
        if name in ("batch", "max_multiply_adds") and value is None:
            continue
        if type(value) is not int or not least <= value <= most:
            faults.append(f"{name}: got {value!r}, expected an integer from {least} to {most:,}")
    metrics = [each.name for each in METRICS]
    for name, words in (("sampler", list(SAMPLERS)), ("metric", metrics)):
        value = getattr(search, name)
        if value not in words:
            faults.append(f"{name}: got {value!r}, expected one of: {', '.join(words)}{did_you_mean(value, words)}")
    stopping = search.stopping
    if isinstance(stopping, (Halving, Hyperband)):
        for name, least in (("eta", 2), ("min_epochs", 1)):
            value = parsing.plain(getattr(stopping, name))
            if type(value) is not int or value < least:
                faults.append(f"stopping.{name}: got {value!r}, expected an integer of {least} or more")
    elif stopping is not None:
        faults.append(f"stopping: got {stopping!r}, expected Halving(), Hyperband() or None")
    if not isinstance(search.description, str):
        faults.append(f"description: got {search.description!r}, expected text")
    return faults


def _faulty_ranges(search: Search) -> list[str]:
    """Finds values of the space that are no ranges, and names that a table cannot have."""
    space = search.space
    if not isinstance(space, Mapping) or not space:
        return [f"space: got {space!r}, expected a mapping of fields to ranges"]
    expected = "uniform(...), log_uniform(...), integers(...) or choice(...)"
    faults = [
        f"space: {field!r}: got {values!r}, expected {expected}"
        for field, values in space.items()
        if not isinstance(field, str) or not isinstance(values, Range)
    ]
    faults += [fault for field, values in space.items() if not faults for fault in _faulty_values(field, values)]
    if search.overrides is None or faults:
        return faults
    if not callable(search.overrides):
        return [f"overrides: got {search.overrides!r}, expected a function from a point to the fields that it sets"]
    from cnn_jax.sweep.rows import columns  # the names are free, and must be columns of their own in table.csv

    taken = {each.column.name for each in columns()} | {"n"}
    return [
        f"space: {name!r}: expected a name of letters, digits and _, that is no other column of table.csv"
        for name in space
        if not re.fullmatch(r"\w+(\.\w+)*", name) or name in taken
    ]


def _faulty_values(field: str, values: Range) -> Iterator[str]:
    """Finds values of a choice that JSON cannot hold, and different values that tables would show alike."""
    if not isinstance(values, Choices):
        return
    names: list[Any] = []
    for value in values.values:
        try:
            json.dumps(as_json(value), allow_nan=False)
        except (TypeError, ValueError, RecursionError):
            yield f"space: {field!r}: got {value!r} in a choice, expected texts, numbers, lists and mappings of them"
        name = shown_value(value)
        if name in names and value not in values.values[: len(names)]:
            yield f"space: {field!r}: different values have the name {name!r}; give each a name of its own"
        names.append(name)


def _faulty_choices(search: Search) -> list[str]:
    """Finds parts of a search that contradict each other."""
    faults = []
    if search.stopping is not None and search.sampler in FULL_LENGTH:
        others = [sampler for sampler in SAMPLERS if sampler not in FULL_LENGTH]
        faults.append(
            f"sampler: {search.sampler!r} learns from trials of the full length alone, and stopping ends most before; "
            f"use {', '.join(others)}, or stopping=None"
        )
    if search.sampler == "cma_es" and all(isinstance(values, Choices) for values in search.space.values()):
        faults.append(
            "sampler: 'cma_es' learns of numbers alone, draws choices at random, and the space has only these; "
            "use sampler='tpe'"
        )
    if isinstance(search.stopping, Hyperband) and search.batch is not None:
        faults.append(f"batch: got {search.batch}, and the brackets of Hyperband are its batches; leave it out")
    if search.batch is not None and search.batch > search.trials:
        faults.append(f"batch: got {search.batch}, and there are trials={search.trials}; give at most so many")
    if search.sampler in ADAPTIVE and search.batch is not None and search.batch == search.trials > 1:
        faults.append(
            f"batch: {search.sampler!r} learns between batches, and batch={search.batch} draws all trials at once; "
            "give a smaller one, or sampler='halton'"
        )
    if search.confirm > search.trials:
        faults.append(f"confirm: got {search.confirm}, and there are trials={search.trials}; give at most so many")
    return faults


def _faulty_length(search: Search, base: Experiment) -> list[str]:
    """Finds rungs beyond the last epoch, and rungs at which nothing is measured."""
    epochs, every = base.train.epochs, base.train.eval_every_epochs
    if search.stopping is None:
        return []
    least = search.stopping.min_epochs
    if least > epochs:
        return [f"stopping.min_epochs: the rung of {least} epochs lies beyond config.train.epochs={epochs}"]
    planned = sorted({rung for bracket in brackets(search, epochs) for rung in bracket.epochs})
    if len(planned) == 1:
        return [
            f"stopping: config.train.epochs={epochs} has no rung but the last, with eta={search.stopping.eta} and "
            f"min_epochs={least}; train for {search.stopping.eta * least} epochs or more, or give stopping=None"
        ]
    unmeasured = [rung for rung in planned if rung % every and rung != epochs]
    if unmeasured:
        return [
            f"stopping: nothing is measured after epochs {', '.join(map(str, unmeasured))}, since "
            f"config.train.eval_every_epochs={every}; set it to 1, or other rungs"
        ]
    return []


def _faulty_fields(search: Search, raw: Mapping[str, Any], overrides: Overrides) -> list[str]:
    """Finds searched fields that do not exist, that may not vary, or whose range holds illegal values."""
    if search.overrides is None:
        settings = {field: list(_ends(values)) for field, values in search.space.items()}
    else:
        try:
            settings = _sampled(search)
        except ConfigError as error:
            return error.faults
    faults = []
    for field, values in settings.items():
        if fixed := next((name for name in _FIXED if _holds(field, name)), None):
            faults.append(f"space: {field!r} holds {fixed}, which is the same for all trials of a search; leave it out")
            continue
        owner = next((other for other in settings if other != field and _holds(other, field)), None)
        if owner and search.overrides is None:  # a function may replace a section and set fields in it, in this order
            faults.append(f"space: {field!r} lies in {owner!r}, which is searched too; leave one of them out")
            continue
        if taken := next((name for name in overrides if _holds(field, name) or _holds(name, field)), None):
            faults.append(f"--config.{taken}: the search varies {field}; leave it out")
            continue
        for value in values:
            faults += [fault for fault in _illegal(raw, field, value) if fault not in faults]
    return faults


def _sampled(search: Search) -> dict[str, list[Any]]:
    """Lists values that the experiment file's function sets each field to: at the ranges' ends, and at some points.

    Raises:
      ConfigError: where the function fails, or does not depend on the point, or on more than that.
    """
    points = halton(search.space, _SAMPLED)
    for name, values in search.space.items():
        points += [{**points[0], name: end} for end in _ends(values)]
    if overrides_of(search, points[0]) != overrides_of(search, points[0]):
        raise ConfigError(
            ["overrides: the same point gave other values the second time; it must depend on nothing else"]
        )
    found: dict[str, list[Any]] = {}
    for point in points:
        for field, value in overrides_of(search, point).items():
            listed = found.setdefault(field, [])
            if value not in listed:
                listed.append(value)
    if all(len(listed) == 1 for listed in found.values()):
        raise ConfigError([f"overrides: the same fields and values came of all {len(points)} points that were tried"])
    return found


def _holds(section: str, field: str) -> bool:
    return field == section or field.startswith(f"{section}.")


def _ends(values: Range) -> Iterator[Any]:
    """Values by which a range is checked: the ends of an interval, or all."""
    if isinstance(values, Choices):
        yield from values.values
    else:
        yield from (values.low, values.high)


def _illegal(raw: Mapping[str, Any], field: str, value: Any) -> list[str]:
    """Lists why a value cannot be set; one that only conflicts with other fields is a point without a network."""
    try:
        parsing.parse(parsing.override(raw, {field: value.value if isinstance(value, Named) else value}))
    except ConfigError as error:
        return [fault for fault in error.faults if fault.startswith((f"config.{field}:", f"config.{field}."))]
    except RecursionError:
        return [f"config.{field}: a value holds itself, or is nested too deeply"]
    return []
