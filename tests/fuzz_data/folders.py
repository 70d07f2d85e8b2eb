"""Folders of records, runs and sweeps with a flipped bit in one of their files."""

import contextlib
import csv
import itertools
import json
import shutil
from pathlib import Path
from typing import NamedTuple

import numpy as np

from cnn_jax import config as cfg
from cnn_jax import data
from fuzz_data.damage import damage_file, flip_one
from fuzz_data.outcome import Answer, Refused, called, command

EXPERIMENT = """
def get_config():
    return {{
        "data": {data!r},
        "model": {{"features": (4,), "pooling": "max", "dense": (), "lowering": "xla"}},
        "train": {{"epochs": 2, "batch_size": 50, "eval_batch_size": 150, "steps_per_dispatch": 5}},
        "checkpoint": {{"keep_last": 2}},
        "log": {{"tensorboard": False}},
    }}


def get_sweep():
    return [{{"optimizer.learning_rate": rate}} for rate in (1e-3, 1e-2)]
"""


class Originals(NamedTuple):
    """Undamaged folders, and what their commands print.

    Attributes:
      experiment: The experiment file.
      run: A finished run.
      trained: Outcome of `train` in it.
      measured: Outcome of `eval`.
      records: A folder of records.
      sweep: A finished sweep; None where only the cheap cases are wanted.
    """

    experiment: Path
    run: Path
    trained: Answer
    measured: Answer
    records: Path
    sweep: Path | None


def originals(folder: Path, line_data: dict[str, object], records: Path, *, with_sweep: bool) -> Originals:
    """Trains a run, and a sweep where one is wanted."""
    experiment, run, sweep = folder / "experiment.py", folder / "run", folder / "sweep"
    experiment.write_text(EXPERIMENT.format(data=line_data))
    trained = command("train", f"--config={experiment}", f"--workdir={run}", "--noreport")
    assert trained.code == 0, trained.err
    if with_sweep:
        answer = command("sweep", f"--config={experiment}", f"--workdir={sweep}", "--noreport", "--jobs=2")
        assert answer.code == 0, answer.err + answer.out
    measured = command("eval", f"--workdir={run}")
    return Originals(experiment, run, trained, measured, records, sweep if with_sweep else None)


def figures(answer: Answer) -> str:
    """The line of `train` that has the figures."""
    return next(line for line in answer.out.splitlines() if line.startswith("test accuracy"))


def finished_run(rng: np.random.Generator, folder: Path, known: Originals) -> str:
    """`eval` and `train` in a finished run's folder tell its figures, or say what is damaged."""
    run = folder / "run"
    shutil.copytree(known.run, run)
    what = damage_file(run, rng, one_bit=rng.random() < 0.75)
    return used(run, str(rng.choice(["eval", "train"])), known, what)


def used(run: Path, verb: str, known: Originals, what: str) -> str:
    """Uses a finished run whose folder was damaged."""
    case = f"finished run, {verb}, {what}"
    if verb == "eval":
        answer = command("eval", f"--workdir={run}")
        if answer.code == 0:
            assert json.loads(answer.out) == json.loads(known.measured.out), f"{case}: {answer.out}"
    else:
        answer = command("train", f"--config={known.experiment}", f"--workdir={run}", "--noreport")
        if answer.code == 0:
            assert figures(answer) == figures(known.trained), f"{case}: {answer.out}"
    return f"{case}: {answer.code} {answer.err[:200]}"


def interrupted_run(rng: np.random.Generator, folder: Path, known: Originals) -> str:
    """A resumed run ends with the figures of the run that was not interrupted, or says what is damaged."""
    run = folder / "run"
    shutil.copytree(known.run, run)
    (run / "result.json").unlink()
    return resumed(run, known, damage_file(run, rng, one_bit=rng.random() < 0.75))


def resumed(run: Path, known: Originals, what: str) -> str:
    """Resumes an interrupted run whose folder was damaged."""
    answer = command("train", f"--config={known.experiment}", f"--workdir={run}", "--noreport")
    case = f"interrupted run, {what}"
    if answer.code == 0:
        assert figures(answer) == figures(known.trained), f"{case}: {answer.out}{answer.err}"
    return f"{case}: {answer.code} {answer.err[:200]}"


def flipped_bit_in_every_file(rng: np.random.Generator, folder: Path, known: Originals) -> list[str]:
    """A finished run and an interrupted one, with one bit flipped in one file after the other."""
    run, outcomes = folder / "run", []
    for file in sorted(path.relative_to(known.run) for path in known.run.rglob("*") if path.is_file()):
        for use in ("eval", "train", "resume"):
            shutil.copytree(known.run, run)
            content = (run / file).read_bytes()
            if use == "resume":
                (run / "result.json").unlink()
            if content and (run / file).exists():
                changed, what = flip_one(content, rng)
                (run / file).write_bytes(changed)
                what = f"{file}: {what}"
                outcomes.append(resumed(run, known, what) if use == "resume" else used(run, use, known, what))
            shutil.rmtree(run)
    return outcomes


def records_folder(rng: np.random.Generator, folder: Path, known: Originals) -> str:
    """Records give the pixels and labels that were written, or are refused."""
    copy = folder / "records"
    shutil.copytree(known.records, copy)
    what = damage_file(copy, rng, one_bit=rng.random() < 0.6)
    got = called(lambda: pixels(copy))
    case = f"records, {what}"
    if isinstance(got, Refused):
        return f"{case}: refused"
    for array, other in zip(got, pixels(known.records), strict=True):
        np.testing.assert_array_equal(array, other, err_msg=case)
    return f"{case}: read"


def pixels(folder: Path) -> list[np.ndarray]:
    """All test pictures and two training batches, with their labels and the statistics of their colours."""
    loaded = data.load(cfg.Records(folder=str(folder), image_size=16, workers=0), 0)
    test = loaded.test.some(len(loaded.test))
    with contextlib.closing(iter(loaded.train.in_batches(27).at(0))) as batches:
        train = [array for batch in itertools.islice(batches, 2) for array in batch]
    names = np.array([*loaded.class_names, loaded.checksum])
    return [names, test.images, test.labels, *loaded.train.statistics, *train]


def sweep_folder(rng: np.random.Generator, folder: Path, known: Originals) -> str:
    """A finished sweep's table has the figures of its trials, or a message says what is damaged."""
    assert known.sweep is not None
    copy = folder / "sweep"
    shutil.copytree(known.sweep, copy, symlinks=True)
    for stale in ("table.csv", "table.parquet", "table.json"):
        (copy / stale).unlink(missing_ok=True)
    what = damage_file(copy, rng, one_bit=rng.random() < 0.75)
    verb = str(rng.choice(["report", "sweep"]))
    words = [f"--config={known.experiment}", "--noreport"] if verb == "sweep" else []
    answer = command(verb, f"--workdir={copy}", *words)
    case = f"sweep, {verb}, {what}"
    if answer.code == 0:
        for row, whole in zip(table(copy), table(known.sweep), strict=True):
            # a report shows a trial whose files are damaged as such, and without figures
            told = verb == "report" and row["status"] == "failed" and not row["test_accuracy"] + row["test_loss"]
            assert row == whole or told, f"{case}: {row}; {answer.out}{answer.err}"
    return f"{case}: {answer.code} {answer.err[:200]}"


def table(sweep: Path) -> list[dict[str, str]]:
    """The columns of a sweep's table that its figures stand in."""
    with (sweep / "table.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    wanted = ("test_accuracy", "test_loss", "status", "seed", "optimizer.learning_rate")
    return [{name: row[name] for name in wanted} for row in rows]
