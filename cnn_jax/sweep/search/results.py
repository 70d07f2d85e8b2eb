"""Results of a search, from the files in its folder at any time while it runs."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import pydantic
from pydantic import Field

from cnn_jax.run.errors import RunFolderError
from cnn_jax.run.metrics import METRICS, Metric
from cnn_jax.run.metrics_log import VALIDATION
from cnn_jax.run.records import MetricRecord, Record
from cnn_jax.sweep.points import point_key, values_at
from cnn_jax.sweep.rows import Row, SweepFolderError
from cnn_jax.sweep.search import record
from cnn_jax.sweep.search.declaration import Halving, Hyperband, Search
from cnn_jax.sweep.search.driver import OF_THE_POINT
from cnn_jax.sweep.search.rungs import Bracket, brackets, promoted
from cnn_jax.sweep.status import DONE, FAILED, INFEASIBLE


@dataclasses.dataclass(frozen=True)
class Axis:
    """Values of a searched field.

    Attributes:
      field: Dotted name.
      ordered: Whether they are numbers of an interval; else they are choices.
      log: Whether the logarithm is searched.
    """

    field: str
    ordered: bool
    log: bool


@dataclasses.dataclass(frozen=True)
class SearchPoint:
    """A point of a search.

    Attributes:
      number: Place in the search, from 1.
      values: Value of every searched field.
      trial: Id of its trial.
      state: Outcome of the point; "unfinished" while it trains, or waits for the decision of its rung.
      scores: The metric on the validation images by epochs of the rung, where it is a finite number.
      seconds: Wall time of its trial; None if it is not known.
    """

    number: int
    values: tuple[Any, ...]
    trial: str
    state: record.State
    scores: Mapping[int, float]
    seconds: float | None


@dataclasses.dataclass(frozen=True)
class Rung:
    """A rung of a batch.

    Attributes:
      batch: Number of the batch, from 0.
      epochs: Epochs of training.
      cost: Epochs that a trial trains from the rung before to this one.
      trained: Numbers of the points that train to the rung.
      promoted: Numbers of those that train on; None at the last rung, and before it is decided.
    """

    batch: int
    epochs: int
    cost: int
    trained: tuple[int, ...]
    promoted: tuple[int, ...] | None


class Measurement(NamedTuple):
    """A score of a point at a rung, and what it cost.

    Attributes:
      number: Number of the point.
      epochs: Epochs of the rung.
      score: The metric on the validation images.
      spent: Epochs that the trial trained from the rung before.
      seconds: Wall time of these epochs, where a trial's time is spread evenly over its epochs; None if not known.
    """

    number: int
    epochs: int
    score: float
    spent: int
    seconds: float | None


@dataclasses.dataclass(frozen=True)
class Confirmation:
    """A point that is trained anew on fresh seeds.

    Attributes:
      point: The point.
      search_score: Score by which it was chosen.
      scores: Scores of the finished fresh seeds on the validation images.
      test: The same metric on the test images.
      seeds: Number of fresh seeds, finished or not.
    """

    point: SearchPoint
    search_score: float
    scores: tuple[float, ...]
    test: tuple[float, ...]
    seeds: int


@dataclasses.dataclass(frozen=True)
class SearchResults:
    """Results of a search.

    Attributes:
      sampler: Name of the sampler.
      metric: Metric of the validation images that decides.
      epochs: Epochs of a trial of the full length.
      budget: Epochs that all trials may train together, without the confirmation.
      trials: Number of points that are to be drawn.
      axes: The searched fields.
      points: All points drawn so far, in their order.
      rungs: All rungs that have begun, in their order.
      confirmations: The best points on fresh seeds, the best in the search first.
    """

    sampler: str
    metric: Metric
    epochs: int
    budget: int
    trials: int
    axes: tuple[Axis, ...]
    points: tuple[SearchPoint, ...]
    rungs: tuple[Rung, ...]
    confirmations: tuple[Confirmation, ...]

    @property
    def spent(self) -> int:
        """Epochs of rungs that have been reached, counted once a trial."""
        return sum({each.trial: max(each.scores, default=0) for each in self.points}.values())

    @property
    def best(self) -> SearchPoint | None:
        """The point of the best score at the full length, of equals the first; None if there is none yet."""
        whole = [each for each in self.points if self.epochs in each.scores]
        return max(whole, key=lambda each: self.metric.gain(each.scores[self.epochs]), default=None)

    def measurements(self) -> Iterator[Measurement]:
        """Lists all scores in the order of batches, rungs and points, whatever the order in which trials ended."""
        paid: set[tuple[str, int]] = set()  # two points of one trial cost as much as one
        for rung in self.rungs:
            for number in rung.trained:
                point = self.points[number - 1]
                if rung.epochs in point.scores:
                    spent = 0 if (point.trial, rung.epochs) in paid else rung.cost
                    paid.add((point.trial, rung.epochs))
                    seconds = None if point.seconds is None else point.seconds * spent / max(point.scores)
                    yield Measurement(number, rung.epochs, point.scores[rung.epochs], spent, seconds)


class _Stopping(Record):
    name: Literal["Halving", "Hyperband"]
    """Class of the rule."""
    eta: Annotated[int, Field(ge=2)]
    """One trial of this many is promoted from rung to rung."""
    min_epochs: Annotated[int, Field(ge=1)]
    """Epochs of the first rung."""


class _Declared(Record):
    """The part of a search's declaration that its results are read by."""

    metric: str
    """Name of the metric that decides, on the validation images."""
    trials: Annotated[int, Field(ge=1)]
    """Number of points."""
    sampler: str
    """Name of the sampler."""
    batch: Annotated[int, Field(ge=1)] | None
    """Points that are drawn together; None if all are."""
    stopping: _Stopping | None
    """Rule of early stopping; None for none."""
    space: Mapping[str, tuple[Any, ...]]
    """Range of each searched name."""


def read_results(
    folder: Path, rows: Sequence[Row], recorded: Mapping[str, Sequence[MetricRecord]]
) -> SearchResults | None:
    """Reads the results of a search.

    Args:
      folder: Folder of a sweep or a search.
      rows: Rows of all its trials.
      recorded: Records of each trial by its id, those on the validation images among them.

    Returns:
      The results: those of search.json, and what its trials have measured since it was written. None if the folder
      holds a sweep.

    Raises:
      SweepFolderError: If search.json is damaged or cannot be read.
    """
    content = read_file(folder)
    if content is None:
        return None
    try:
        declared = _Declared.model_validate(content.search, extra="ignore")
        planned = _planned(declared, content.epochs)
        metric = next((each for each in METRICS if each.name == declared.metric), None)
        if metric is None:
            raise ValueError(f"search.metric: got {declared.metric!r}, expected a metric of this version")
        if [each.number for each in content.points] != list(range(1, len(content.points) + 1)):
            raise ValueError("points: got other numbers than 1, 2, 3, ...")
        if faulty := [each.batch for each in content.points if not 0 <= each.batch < len(planned)]:
            raise ValueError(f"points: got batch {faulty[0]}, expected 0 to {len(planned) - 1}")
    except ValueError as error:
        first = error.errors()[0] if isinstance(error, pydantic.ValidationError) else None
        fault = f"search.{'.'.join(map(str, first['loc']))}: {first['msg']}" if first else str(error)
        raise _damaged(folder, f"{record.NAME} is damaged: {fault}") from error
    by_id = {row.id: row for row in rows}
    fields = tuple(declared.space)
    known = [_Known(each, by_id.get(each.trial), recorded.get(each.trial, ()), metric) for each in content.points]
    rungs = tuple(_rungs(known, planned, metric))
    points = tuple(each.point(fields) for each in known)
    return SearchResults(
        sampler=declared.sampler,
        metric=metric,
        epochs=content.epochs,
        budget=content.budget,
        trials=declared.trials,
        axes=tuple(_axis(field, values) for field, values in declared.space.items()),
        points=points,
        rungs=rungs,
        confirmations=tuple(_confirmations(points, fields, content.epochs, rows, recorded, metric)),
    )


def read_file(folder: Path) -> record.SearchFile | None:
    """Reads the search.json of a folder; None if there is none.

    Raises:
      SweepFolderError: If it is damaged or cannot be read.
    """
    try:
        return record.read(folder)
    except RunFolderError as error:
        raise _damaged(folder, str(error)) from error


def _damaged(folder: Path, fault: str) -> SweepFolderError:
    return SweepFolderError(f"{folder}: {fault}; remove the file and start the search again, which writes it anew")


class _Known:
    """A point while its state is worked out."""

    def __init__(self, listed: record.PointRecord, row: Row | None, recorded: Sequence[MetricRecord], metric: Metric):
        self.listed, self.row = listed, row
        self.state: record.State = "unfinished"
        self.reached: dict[int, float] = {}
        self._measured = _by_epoch(recorded, metric) | {int(rung): score for rung, score in listed.scores.items()}

    @property
    def is_infeasible(self) -> bool:
        return self.listed.state == "infeasible" or (self.row is not None and self.row.status == INFEASIBLE)

    def reach(self, rung: int) -> bool:
        """Takes in the score at a rung to which the point trains; says whether the rung waits for it."""
        if rung in self._measured:
            self.reached[rung] = self._measured[rung]
        elif self.listed.state == "failed" or self._has_failed:
            self.state = "failed"
        else:
            return True
        return False

    @property
    def _has_failed(self) -> bool:
        return self.row is not None and self.row.status == FAILED and self.row.outcome.fault in OF_THE_POINT

    def point(self, fields: Sequence[str]) -> SearchPoint:
        listed, row = self.listed, self.row
        seconds = None
        if row is not None:
            seconds = row.attempt.seconds if row.attempt else 0.0
            seconds = seconds or (row.result.seconds.total if row.result else None)
        values = values_at(listed.point, fields)
        finite = {rung: score for rung, score in self.reached.items() if math.isfinite(score)}
        return SearchPoint(listed.number, values, listed.trial, self.state, finite, seconds)


def _planned(declared: _Declared, epochs: int) -> tuple[Bracket, ...]:
    stopping: Halving | Hyperband | None = None
    if declared.stopping is not None:
        kind = Halving if declared.stopping.name == "Halving" else Hyperband
        stopping = kind(declared.stopping.eta, declared.stopping.min_epochs)
    return brackets(Search({}, declared.trials, batch=declared.batch, stopping=stopping), epochs)


def _rungs(known: Sequence[_Known], planned: Sequence[Bracket], metric: Metric) -> Iterator[Rung]:
    """Decides the rungs as the search does, as far as all their trials have ended; sets the points' states."""
    for batch, group in itertools.groupby(known, lambda each: each.listed.batch):
        bracket, alive = planned[batch], []
        for each in group:
            if each.is_infeasible:
                each.state = "infeasible"
            else:
                alive.append(each)
        before = 0
        for place, rung in enumerate(bracket.epochs):
            trained = tuple(each.listed.number for each in alive)
            waiting = [each for each in alive if each.reach(rung)]
            is_last = place + 1 == len(bracket.epochs)
            chosen: tuple[int, ...] | None = None
            if not waiting and not is_last:
                gains = {n.listed.number: metric.gain(n.reached[rung]) if rung in n.reached else None for n in alive}
                chosen = tuple(promoted(gains, bracket.sizes[place + 1]))
            for each in alive:
                if rung in each.reached and (is_last or (chosen is not None and each.listed.number not in chosen)):
                    each.state = "finished" if is_last else "stopped early"
            yield Rung(batch, rung, rung - before, trained, chosen)
            if chosen is None:
                break
            alive, before = [each for each in alive if each.listed.number in chosen], rung


def _axis(field: str, described: Sequence[Any]) -> Axis:
    ordered = described[:1] in (("Floats",), ("Integers",))
    return Axis(field, ordered, ordered and described[-1] is True)


def _by_epoch(recorded: Sequence[MetricRecord], metric: Metric) -> dict[int, float]:
    """The metric on the validation images by whole epochs."""
    return {
        int(each.epoch): each.values[metric.name]
        for each in recorded
        if each.split == VALIDATION and each.epoch == int(each.epoch) and metric.name in each.values
    }


def _confirmations(
    points: Sequence[SearchPoint],
    fields: Sequence[str],
    epochs: int,
    rows: Sequence[Row],
    recorded: Mapping[str, Sequence[MetricRecord]],
    metric: Metric,
) -> Iterator[Confirmation]:
    """Groups the trials that are none of the search's own by their points."""
    own = {each.trial for each in points}
    whole = {point_key(each.values): each for each in reversed(points) if epochs in each.scores}
    fresh: dict[str, list[Row]] = {}
    for row in rows:
        if row.id not in own:
            fresh.setdefault(point_key(values_at(row.point, fields)), []).append(row)
    for at, seeds in fresh.items():
        if at not in whole:
            continue
        done = [row for row in seeds if row.status == DONE]
        measured = [_by_epoch(recorded.get(row.id, ()), metric).get(epochs) for row in done]
        tested = [row.result.test[metric.name] for row in done if row.result is not None]
        yield Confirmation(
            point=whole[at],
            search_score=whole[at].scores[epochs],
            scores=tuple(score for score in measured if score is not None),
            test=tuple(value for value in tested if value is not None),
            seeds=len(seeds),
        )
