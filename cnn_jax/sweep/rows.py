"""What is known of every trial of a sweep, from the files in the sweep's folder."""

from __future__ import annotations

import dataclasses
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import pydantic
from pydantic import FiniteFloat

from cnn_jax.sweep.points import key
from cnn_jax.sweep.status import Standing, Status

DAMAGED = "damaged"  # the fault of a trial whose files cannot be read


class SweepFolderError(Exception):
    """A folder that holds no readable sweep; the message names the file and what helps."""


@dataclasses.dataclass(frozen=True)
class SweepHeader:
    """What a sweep is, apart from its trials.

    Attributes:
      experiment: stem of the experiment's file.
      description: in the experimenter's words; may be empty.
      fields: dotted names of what varies, in declared order, without the seed.
      baseline: the point that others are compared with; None where none was declared.
    """

    experiment: str
    description: str
    fields: tuple[str, ...]
    baseline: Mapping[str, Any] | None


@dataclasses.dataclass(frozen=True)
class Row:
    """One trial. What is not known, or not yet, is None.

    Attributes:
      id: of the trial; its folder's name.
      status: "done" where there is a result, whatever else is there.
      fault: of a failed trial: "refused", "crash", "killed", "hang", "memory", "diverged" or "damaged".
      message: what went wrong; of an infeasible trial, the reason.
      log_tail: the last lines of its log.
      point: value of every varied field; None where the trial does not set it.
      seed: of the experiment.
      test_accuracy: share of the test images.
      test_loss: nats per image.
      top1_error, top5_error: shares of the test images.
      final_epoch: of the training.
      parameters: of the network.
      multiply_adds: of one image's forward pass.
      images_per_second: while training.
      compile_seconds, training_seconds, evaluation_seconds: wall times of the run.
      total_seconds: wall time of the run; of one without a result, as its engine measured.
      attempts: how often it was started.
      commit: of the code that trained.
      dirty: hash of what differed from the commit; None where nothing did.
      packages: names and versions, as "jax 0.10.2, flax 0.12.8".
      device: kind of the accelerator, or the processor's name.
      host: that it ran on.
      trained_together: trials that one program trained, with this one; 1 where it was trained alone.
    """

    id: str
    status: Standing
    point: Mapping[str, Any]
    seed: int
    fault: str | None = None
    message: str = ""
    log_tail: tuple[str, ...] = ()
    test_accuracy: float | None = None
    test_loss: float | None = None
    top1_error: float | None = None
    top5_error: float | None = None
    final_epoch: int | None = None
    parameters: int | None = None
    multiply_adds: int | None = None
    images_per_second: float | None = None
    compile_seconds: float | None = None
    training_seconds: float | None = None
    evaluation_seconds: float | None = None
    total_seconds: float | None = None
    attempts: int | None = None
    commit: str | None = None
    dirty: str | None = None
    packages: str | None = None
    device: str | None = None
    host: str | None = None
    trained_together: int | None = None


class _Trial(pydantic.BaseModel):
    id: str
    point: dict[str, Any]
    seed: int
    infeasible: str | None = None
    parameters: int | None = None
    multiply_adds: int | None = None


class _Sweep(pydantic.BaseModel):
    experiment: str
    description: str = ""
    fields: tuple[str, ...]
    baseline: dict[str, Any] | None = None
    trials: list[_Trial]


class _Seconds(pydantic.BaseModel):
    compile: FiniteFloat
    training: FiniteFloat
    evaluation: FiniteFloat
    total: FiniteFloat


class _Result(pydantic.BaseModel):
    test_accuracy: FiniteFloat
    test_loss: FiniteFloat
    test_top1_error: FiniteFloat
    test_top5_error: FiniteFloat | None
    final_epoch: int
    parameters: int
    images_per_second: FiniteFloat
    seconds: _Seconds


class _Git(pydantic.BaseModel):
    commit: str
    dirty: str | None


class _Devices(pydantic.BaseModel):
    platform: str
    kind: str
    count: int
    processor: str


class _Provenance(pydantic.BaseModel):
    git: _Git | None
    packages: dict[str, str]
    devices: _Devices
    trained_together: int = 1


class _DamagedError(Exception):
    """A file that is there and cannot be read; the message names it."""


_Content = TypeVar("_Content")


def read_rows(folder: Path) -> tuple[SweepHeader, list[Row]]:
    """Reads a sweep's folder, at any time while the sweep runs.

    Args:
      folder: that holds sweep.json and trials/.

    Returns:
      The header, and a row per trial in the order of sweep.json. Spoilt files of a trial show in its row alone.

    Raises:
      SweepFolderError: where sweep.json is missing or damaged.
    """
    try:
        sweep = _read(folder / "sweep.json", folder, _Sweep)
    except _DamagedError as error:
        raise SweepFolderError(f"{folder}: {error}; start the sweep again, which writes it anew") from error
    if sweep is None:
        what = "has no sweep.json" if folder.is_dir() else "is no folder"
        near = " (it is the folder of a single run)" if (folder / "config.json").exists() else ""
        raise SweepFolderError(f"{folder} {what}{near}: expected the folder that a sweep wrote")
    header = SweepHeader(sweep.experiment, sweep.description, sweep.fields, sweep.baseline)
    # A trial that two parts of a sweep ask for is one measurement, and counts as one.
    trials = {(trial.id, key(trial.point.values())): trial for trial in sweep.trials}
    return header, [_row(folder, sweep.fields, trial) for trial in trials.values()]


def code_warnings(rows: Sequence[Row]) -> list[str]:
    """Says where finished trials do not come from the same code, packages and devices.

    Args:
      rows: of all trials.

    Returns:
      A sentence per difference, with what differs and in how many trials each; none where all are alike.
    """
    done = [row for row in rows if row.status == "done"]
    warnings = []
    if listed := _variants(_code(row) for row in done):
        warnings.append(f"Finished trials come from different code: {listed}.")
    versions = [_versions(row.packages) for row in done]
    for package in sorted({package for known in versions for package in known}):
        if listed := _variants(known.get(package, "unknown") for known in versions):
            warnings.append(f"Finished trials ran with different versions of {package}: {listed}.")
    if listed := _variants(row.device or "unknown" for row in done):
        warnings.append(f"Finished trials ran on different devices: {listed}.")
    if listed := _variants(_mode(row) for row in done):
        warnings.append(f"Finished trials were trained in different ways, which round differently: {listed}.")
    return warnings


def _row(folder: Path, fields: Sequence[str], trial: _Trial) -> Row:
    point = {field: trial.point.get(field) for field in fields}
    row = Row(trial.id, "waiting", point, trial.seed, parameters=trial.parameters, multiply_adds=trial.multiply_adds)
    if trial.infeasible is not None:
        return dataclasses.replace(row, status="infeasible", message=trial.infeasible)
    at = folder / "trials" / trial.id
    faults: list[str] = []

    def read(name: str, content: type[_Content]) -> _Content | None:
        try:
            return _read(at / name, folder, content)
        except _DamagedError as error:
            faults.append(str(error))
            return None

    provenance = read("provenance.json", _Provenance)
    status = read("status.json", Status)
    if provenance is not None:
        row = _with_provenance(row, provenance)
    if status is not None:
        row = dataclasses.replace(row, attempts=status.attempts, host=status.host, total_seconds=status.seconds)
    result = read("result.json", _Result)
    if result is not None:
        return dataclasses.replace(_with_result(row, result), status="done", message="; ".join(faults))
    if status is not None and status.status == "done" and not faults:
        faults.append(f"trials/{trial.id}/status.json says done, but there is no result.json")
    if status is not None:
        row = dataclasses.replace(
            row, status=status.status, fault=status.fault, message=status.message, log_tail=status.log_tail
        )
    if faults and row.fault is None:
        row = dataclasses.replace(row, status="failed", fault=DAMAGED)
    return dataclasses.replace(row, message="; ".join(filter(None, (row.message, *faults))))


def _with_result(row: Row, result: _Result) -> Row:
    return dataclasses.replace(
        row,
        test_accuracy=result.test_accuracy,
        test_loss=result.test_loss,
        top1_error=result.test_top1_error,
        top5_error=result.test_top5_error,
        final_epoch=result.final_epoch,
        parameters=result.parameters,
        images_per_second=result.images_per_second,
        compile_seconds=result.seconds.compile,
        training_seconds=result.seconds.training,
        evaluation_seconds=result.seconds.evaluation,
        total_seconds=result.seconds.total,
    )


def _with_provenance(row: Row, provenance: _Provenance) -> Row:
    devices, git = provenance.devices, provenance.git
    device = devices.processor if devices.platform == "cpu" and devices.processor else devices.kind
    return dataclasses.replace(
        row,
        commit=git.commit if git else None,
        dirty=git.dirty if git else None,
        packages=", ".join(f"{name} {version}" for name, version in provenance.packages.items()),
        device=device if devices.count == 1 else f"{devices.count} x {device}",
        trained_together=provenance.trained_together,
    )


def _read(path: Path, folder: Path, content: type[_Content]) -> _Content | None:
    """Reads a JSON file; None where there is none."""
    try:
        return pydantic.TypeAdapter(content).validate_python(json.loads(path.read_text(encoding="utf-8")))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except pydantic.ValidationError as error:
        first = error.errors()[0]
        what = f"{'.'.join(map(str, first['loc'])) or 'the content'}: {first['msg']}"
    except (OSError, ValueError) as error:
        what = str(error)
    raise _DamagedError(f"{path.relative_to(folder)} is damaged: {what}")


def _code(row: Row) -> str:
    if row.commit is None:
        return "an unknown commit"
    return f"commit {row.commit[:10]}" + (f" with uncommitted changes {row.dirty}" if row.dirty else "")


def _mode(row: Row) -> str:
    if row.trained_together is None or row.trained_together == 1:
        return "each alone"
    return f"{row.trained_together} together"


def _versions(packages: str | None) -> dict[str, str]:
    """Undoes the text that a row holds."""
    entries = (entry.partition(" ") for entry in packages.split(", ")) if packages else ()
    return {package: version for package, _, version in entries}


def _variants(values: Iterable[str]) -> str:
    """Lists different values and how many trials have each; empty where there is one value."""
    counts = Counter(values)
    if len(counts) < 2:
        return ""
    return "; ".join(f"{value} ({n} trial{'' if n == 1 else 's'})" for value, n in counts.most_common())
