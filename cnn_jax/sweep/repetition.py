"""Repeats finished trials in a fresh folder and compares the results."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from cnn_jax.config.parsing import ConfigError
from cnn_jax.run.folder import RunFolder, RunFolderError
from cnn_jax.run.stop_signal import StopSignal
from cnn_jax.sweep import reproduction_check, trial_groups
from cnn_jax.sweep.engines import confinement
from cnn_jax.sweep.engines.local import Limits, LocalEngine
from cnn_jax.sweep.folder import Entry, SweepFolder
from cnn_jax.sweep.reproduction_check import Evidence, Verdict
from cnn_jax.sweep.status import DONE, RUNNING, Status
from cnn_jax.terminal import print_line


def verify(
    folder: SweepFolder, entries: Sequence[Entry], count: int, data_dir: Path | None, console: Console
) -> dict[str, Verdict | None]:
    """Repeats finished trials and compares the results.

    Args:
      folder: Folder of the sweep; only `verified/` in it changes.
      entries: Trials of the sweep.
      count: Number of trials to repeat, spread evenly over the finished ones.
      data_dir: Folder of prepared data; None is the default folder.
      console: Console for the results.

    Returns:
      The verdict of each repeated trial, by id; None if it did not finish.

    Raises:
      ConfigError: If fewer trials are finished.
    """
    done = [entry for entry in entries if folder.status(entry.id).status == DONE]
    if len(done) < count:
        raise ConfigError([f"--verify: got {count}, and {len(done)} trials are done; run the sweep first"])
    chosen = [done[position * len(done) // count] for position in range(count)]
    fresh = SweepFolder(folder.path / "verified")
    shutil.rmtree(fresh.path, ignore_errors=True)
    verdicts: dict[str, Verdict | None] = {}

    statuses: dict[str, Status] = {}

    def report(entry: Entry, status: Status) -> None:
        statuses[entry.id] = status
        fresh.write_status(entry.id, status)
        if status.status == RUNNING:
            return
        verdict, message = None, str(status.status)
        if status.status == DONE:
            try:
                verdict = reproduction_check.compare(evidence(folder, entry), evidence(fresh, entry))
                message = str(verdict)
            except RunFolderError as error:
                message = f"cannot be compared: {error}"
        verdicts[entry.id] = verdict
        print_line(console, f"{entry.trial}: {message}")

    every = confinement.available_cores()
    available = len(every)
    with StopSignal() as stop, fresh.marking_stopped(statuses):
        for cores in sorted({folder.status(entry.id).cores or available for entry in chosen}):
            alike = [entry for entry in chosen if (folder.status(entry.id).cores or available) == cores]
            jobs = max(1, available // cores)
            engine = LocalEngine(fresh, data_dir, jobs, Limits(), cores=every[: jobs * cores])
            engine.run(trial_groups.alone(alike), report, stopping=lambda: stop.received is not None)
    matches = [verdict.exact for verdict in verdicts.values() if verdict is not None and verdict.difference is None]
    print_line(
        console,
        f"{len(chosen)} trials repeated: {matches.count(True)} match bit for bit, {matches.count(False)} within the "
        f"tolerance, {len(chosen) - len(matches)} do not",
    )
    return {entry.id: verdicts.get(entry.id) for entry in chosen}


def evidence(folder: SweepFolder, entry: Entry) -> Evidence:
    """Reads the comparable files of a finished trial."""
    run: RunFolder = folder.trial(entry.id)
    return Evidence(tuple(run.metric_records()), run.provenance(), folder.status(entry.id).cores)
