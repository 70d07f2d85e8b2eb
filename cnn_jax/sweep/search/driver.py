"""A search from its plan to its confirmed winners.

The search is a pure function of its plan and of the results of finished batches: batches are drawn one after the other,
each trains from rung to rung with all its trials side by side, and nothing is decided before all of them are there. So
the same command goes on after any kill by doing the same from the first batch, where finished trials are only read.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rich.console import Console

from cnn_jax.config import parsing
from cnn_jax.config.parsing import ConfigError
from cnn_jax.run.errors import RunFolderError
from cnn_jax.run.metrics_log import VALIDATION, read_records
from cnn_jax.run.stop_signal import StopSignal
from cnn_jax.sweep import faults
from cnn_jax.sweep.feasibility import Examined
from cnn_jax.sweep.folder import Entry, SweepFolder
from cnn_jax.sweep.plan import Plan, shown_value
from cnn_jax.sweep.search import infeasible, record, samplers
from cnn_jax.sweep.search.declaration import identity
from cnn_jax.sweep.search.machine import Machine
from cnn_jax.sweep.search.plan import SearchPlan, overrides_of
from cnn_jax.sweep.search.record import Confirmed, PointRecord, SearchFile
from cnn_jax.sweep.search.rungs import promoted
from cnn_jax.sweep.search.samplers import Observation
from cnn_jax.sweep.space import Sweep
from cnn_jax.sweep.status import CHANGED, DONE, ENDED, FAILED, PAUSED, RUNNING, STOPPED, UNREADABLE, Status
from cnn_jax.sweep.trial import Trial, digest, trial_id
from cnn_jax.sweep.view import SweepView
from cnn_jax.terminal import print_line

# Failures that a point's own values cause. The sampler sees them; after any other failure the search stops.
OF_THE_POINT = (faults.DIVERGED, faults.MEMORY, faults.HANG)
_PART = 50  # sweep.json and search.json hold all points, and are written anew once one in so many is new


class SearchStopped(Exception):
    """A signal stopped the search; the same command goes on."""


class SearchBlocked(Exception):
    """Nothing can be decided: trials have failed for reasons of the machine, or all points for their own."""


@dataclasses.dataclass
class _Point:
    """A point of the search with its trial and its measurements.

    Attributes:
      number: Position in the search, from 1.
      batch: Number of its batch, from 0.
      values: Value of each field.
      entry: The trial.
      scores: Metric by epoch of the rung.
      gains: The same, negated where less is better.
      failed: Whether it lacks the metric at a rung that it should have reached.
    """

    number: int
    batch: int
    values: Mapping[str, Any]
    entry: Entry
    scores: dict[int, float] = dataclasses.field(default_factory=dict)
    gains: dict[int, float] = dataclasses.field(default_factory=dict)
    failed: bool = False


class Driver:
    """Runs one search in its folder."""

    def __init__(
        self,
        plan: SearchPlan,
        folder: SweepFolder,
        machine: Machine,
        console: Console,
        on_change: Callable[[], None] = lambda: None,
    ):
        """Stores its arguments; `run` starts the search.

        Args:
          plan: The search.
          folder: Its folder.
          machine: Examines and trains its trials.
          console: Console for progress.
          on_change: Called whenever a trial has begun.
        """
        self._plan, self._folder, self._machine = plan, folder, machine
        self._console, self._on_change = console, on_change
        self._points: list[_Point] = []
        self._observations: list[Observation] = []  # of all earlier batches
        self._published = 0  # points in sweep.json and search.json
        self._confirmations: list[Entry] = []
        self._known: tuple[str, ...] = ()

    def run(self) -> SearchFile:
        """Runs the search, or goes on with it.

        Returns:
          What search.json then holds.

        Raises:
          ConfigError: where the machine cannot give what the search needs.
          RunFolderError: where the folder cannot be used.
          SearchStopped: on a signal.
          SearchBlocked: where trials have failed for reasons of the machine.
        """
        plan = self._plan
        try:
            held = self._claim()
            self._known = tuple(each.trial for each in held.points) if held else ()
            self._say(
                f"{plan.search.trials} points in {len(plan.brackets)} batches, at most {plan.budget} epochs; "
                f"{plan.search.confirm} confirmed on {plan.search.seeds} seeds each"
            )
            try:
                for batch, bracket in enumerate(plan.brackets):
                    self._run_batch(batch, bracket.sizes, bracket.epochs)
            finally:
                if self._published < len(self._points):
                    self._publish()
            self._check_any_finished()
            confirmed = self._confirm()
            return self._write(confirmed)
        finally:
            self._machine.close()
            self._folder.release()

    def _claim(self) -> SearchFile | None:
        plan = self._plan
        self._folder.claim(self._sweep_plan(), is_search=True)
        warnings = self._folder.warnings
        held = record.check_same(self._folder.path, identity(plan.search), plan.versions, warnings)
        if held is None:  # the file marks the folder as a search's before anything of a sweep lies in it
            self._write(())
        for warning in warnings:
            self._say(f"warning: {warning}")
        return held

    # --- batches ---

    def _run_batch(self, batch: int, sizes: Sequence[int], epochs: Sequence[int]) -> None:
        """Draws a batch and trains it from rung to rung."""
        drawn = samplers.suggest(self._plan.search, batch, sizes[0], self._observations)
        made = [self._trial(len(self._points) + index, values) for index, values in enumerate(drawn, start=1)]
        possible = [trial for trial, known in made if known is None]
        examined = self._machine.examine(possible)
        infeasible.check(batch, possible, examined)
        left = iter(examined)
        members = []
        for (trial, impossible), values in zip(made, drawn, strict=True):
            if impossible is not None:
                # No config could be parsed: the id is a digest of the overrides.
                entry = Entry(digest(trial.overrides, ""), trial, impossible)
            else:
                known = infeasible.marked(next(left), self._plan.search.max_multiply_adds)
                entry = Entry(trial_id(trial.experiment, known.checksum), trial, known)
            members.append(_Point(trial.number, batch, values, entry))
        self._check_known(members)
        self._points += members
        is_published = (len(self._points) - self._published) * _PART >= len(self._points)
        if is_published:
            self._publish()
        alive = [each for each in members if each.entry.examined.infeasible is None]
        for index, (size, rung_epochs) in enumerate(zip(sizes, epochs, strict=True)):
            if index:
                gains = {each.number: each.gains.get(epochs[index - 1]) for each in alive}
                chosen = set(promoted(gains, size))
                alive = [each for each in alive if each.number in chosen]
            self._train([each.entry for each in alive], rung_epochs)
            for each in alive:
                self._read(each, rung_epochs)
            if is_published:
                self._record()
        self._observations += map(self._observation, members)

    def _trial(self, number: int, values: Mapping[str, Any]) -> tuple[Trial, Examined | None]:
        """Makes a point's trial; where its values do not go together, with the reason."""
        plan = self._plan
        point = {field: shown_value(value) for field, value in values.items()}
        own = overrides_of(plan.search, values)
        try:
            return Trial(number, own, point, parsing.parse(parsing.override(plan.raw, own))), None
        except ConfigError as error:
            return Trial(number, own, point, plan.base), Examined("", infeasible="; ".join(error.faults))

    def _check_known(self, members: Sequence[_Point]) -> None:
        """Refuses to go on where other points are drawn than when the search began."""
        for each in members:
            if each.number <= len(self._known) and self._known[each.number - 1] != each.entry.id:
                raise RunFolderError(
                    f"--workdir: {self._folder.path}: point {each.number} is now {each.entry.trial}, and was another "
                    "one before: the experiment file's functions, data, results or the machine have changed; "
                    "give another folder"
                )

    def _train(self, entries: Sequence[Entry], rung_epochs: int) -> None:
        """Trains trials to a rung; those that have reached it are only read."""
        whole = rung_epochs == self._plan.base.train.epochs
        unique = list({entry.id: entry for entry in entries}.values())
        own = [dataclasses.replace(entry, until_epoch=None if whole else rung_epochs) for entry in unique]
        statuses = {entry.id: self._folder.status(entry.id) for entry in own}
        left = [entry for entry in own if self._is_left(entry, statuses[entry.id], rung_epochs)]
        if left:
            self._run_engine(own, statuses, left)
        messages = []
        for entry in own:
            status = statuses[entry.id]
            if status.status == FAILED and status.fault not in OF_THE_POINT:
                messages.append(f"{entry.trial}: {status.fault}: {status.message}")
        if messages:
            more = f" and {len(messages) - 3} more" if len(messages) > 3 else ""
            raise SearchBlocked(
                f"{'; '.join(messages[:3])}{more}; nothing is decided without them, and the same command tries again"
            )

    def _is_left(self, entry: Entry, status: Status, rung_epochs: int) -> bool:
        """Whether a trial has still to train to a rung."""
        if status.status == FAILED:
            return status.fault not in (*OF_THE_POINT, CHANGED, UNREADABLE)
        if status.status == DONE:
            return False
        return entry.until_epoch is None or self._score(entry, rung_epochs) is None or status.status != PAUSED

    def _run_engine(self, own: Sequence[Entry], statuses: dict[str, Status], left: Sequence[Entry]) -> None:
        folder = self._folder
        for entry in own:
            if statuses[entry.id].status == RUNNING:
                statuses[entry.id] = dataclasses.replace(statuses[entry.id], status=STOPPED, message=ENDED)
        view = SweepView(self._console, folder, own, statuses)
        with StopSignal() as stop, view, folder.marking_stopped(statuses):

            def report(entry: Entry, status: Status) -> None:
                statuses[entry.id] = status
                folder.write_status(entry.id, status)
                view.changed(entry, status)
                if status.status == RUNNING:
                    self._on_change()

            self._machine.run(left, report, lambda: stop.received is not None)
        if stop.received is not None:
            raise SearchStopped(stop.received)

    def _check_any_finished(self) -> None:
        """Refuses to name a winner where no point was trained to the end."""
        points, epochs = self._points, self._plan.base.train.epochs
        if any(epochs in each.gains for each in points):
            return
        entry = points[0].entry
        reason = entry.examined.infeasible or self._folder.status(entry.id).message
        raise SearchBlocked(
            f"none of {len(points)} points was trained to the end; give other ranges; point 1 ({entry.trial}): {reason}"
        )

    # --- scores ---

    def _read(self, point: _Point, rung_epochs: int) -> None:
        """Reads what a trial has measured at a rung."""
        score = self._score(point.entry, rung_epochs)
        if score is None:
            # Judged by its record, not its status: a trial that failed at a later rung still has a score here.
            point.failed = True
            return
        point.scores[rung_epochs] = score
        point.gains[rung_epochs] = self._plan.metric.gain(score)

    def _score(self, entry: Entry, rung_epochs: int) -> float | None:
        """The metric on the validation images after an epoch; None if it was not measured."""
        for measured in read_records(self._folder.trial(entry.id).metrics):
            if measured.split == VALIDATION and measured.epoch == rung_epochs:
                return measured.values.get(self._plan.search.metric)
        return None

    def _observation(self, point: _Point) -> Observation:
        usable = not point.failed and point.entry.examined.infeasible is None
        finished = self._plan.base.train.epochs in point.gains
        return Observation(point.batch, point.values, point.gains, usable, finished)

    # --- confirmation ---

    def _confirm(self) -> tuple[Confirmed, ...]:
        """Trains the best points anew on fresh seeds."""
        search, epochs = self._plan.search, self._plan.base.train.epochs
        gains = {each.number: each.gains.get(epochs) for each in self._points}
        distinct: dict[str, _Point] = {}
        for number in sorted((n for n in gains if gains[n] is not None), key=lambda n: (-(gains[n] or 0.0), n)):
            distinct.setdefault(self._points[number - 1].entry.id, self._points[number - 1])
        best = list(distinct.values())[: search.confirm]
        if not best:
            return ()
        first = self._plan.base.seed + 1
        trials = [
            (point, dataclasses.replace(point.entry.trial, **self._seeded(point.entry.trial, first + number, rank)))
            for rank, point in enumerate(best)
            for number in range(search.seeds)
        ]
        examined = self._machine.examine([trial for _, trial in trials])
        entries = [
            (point, Entry(trial_id(trial.experiment, known.checksum), trial, known))
            for (point, trial), known in zip(trials, examined, strict=True)
        ]
        self._confirmations = [entry for _, entry in entries]
        self._declare()
        self._train(self._confirmations, epochs)
        found = []
        for point in best:
            own = [entry for chosen, entry in entries if chosen is point]
            done = [entry for entry in own if self._folder.status(entry.id).status == DONE]
            scores = [score for entry in done if (score := self._score(entry, epochs)) is not None]
            results = [self._folder.trial(entry.id).result() for entry in done]
            test = [value for each in results if each and (value := each.test[search.metric]) is not None]
            found.append(
                Confirmed(
                    number=point.number, search_score=point.scores[epochs], scores=tuple(scores), test=tuple(test)
                )
            )
        return tuple(found)

    def _seeded(self, trial: Trial, seed: int, rank: int) -> dict[str, Any]:
        """Fields of a trial of another seed."""
        number = self._plan.search.trials + rank * self._plan.search.seeds + seed - self._plan.base.seed
        return {
            "number": number,
            "overrides": {**trial.overrides, "seed": seed},
            "experiment": trial.experiment.model_copy(update={"seed": seed}),
        }

    # --- files ---

    def _sweep_plan(self) -> Plan:
        plan = self._plan
        trials = [each.entry.trial for each in self._points] + [each.trial for each in self._confirmations]
        sweep = Sweep([trial.overrides for trial in trials], plan.search.description, None, skip_infeasible=True)
        return Plan(plan.experiment, sweep, plan.base, tuple(plan.search.space), tuple(trials), 0)

    def _declare(self) -> None:
        """Writes sweep.json, which table and report are made from."""
        entries = {each.entry.id: each.entry for each in self._points}
        entries |= {each.id: each for each in self._confirmations}
        self._folder.declare(self._sweep_plan(), list(entries.values()))

    def _publish(self) -> None:
        self._published = len(self._points)
        self._declare()
        self._record()

    def _record(self) -> None:
        """Writes search.json while the search goes on; what it held before is not lost while that is read again."""
        if len(self._points) >= len(self._known):
            self._write(())

    def _write(self, confirmed: tuple[Confirmed, ...]) -> SearchFile:
        """Writes search.json."""
        plan = self._plan
        reached = {each.entry.id: max(each.scores, default=0) for each in self._points}
        content = SearchFile(
            search=identity(plan.search),
            versions=plan.versions,
            epochs=plan.base.train.epochs,
            budget=plan.budget,
            spent=sum(reached.values()),
            points=tuple(self._point_record(each) for each in self._points),
            confirmed=confirmed,
        )
        record.write(self._folder.path, content)
        return content

    def _point_record(self, point: _Point) -> PointRecord:
        epochs = self._plan.base.train.epochs
        state: record.State = "stopped early" if point.scores else "unfinished"
        if point.entry.examined.infeasible is not None:
            state = "infeasible"
        elif point.failed:
            state = "failed"
        elif epochs in point.scores:
            state = "finished"
        return PointRecord(
            number=point.number,
            batch=point.batch,
            point={field: point.entry.trial.point[field] for field in self._plan.search.space},
            trial=point.entry.id,
            state=state,
            scores={str(rung_epochs): score for rung_epochs, score in point.scores.items()},
        )

    def _say(self, text: str) -> None:
        print_line(self._console, text)
