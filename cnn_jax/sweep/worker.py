"""A process that trains one trial after another, each as `launch.py train` would, into its own folder.

It reads a JSON object a line from standard input, {"folders": [...], "data_dir": ..., "group": ...,
"until_epoch": ...}, and writes one a line when the trials of these folders have ended, or paused after that epoch,
{"ends": [{"exit_code": ..., "message": ...}, ...]}, with launch.py's exit codes. The trials of several folders are
trained together. All that a trial prints goes to log.txt in its folder, what native libraries print to that of the
first. A group makes this process one of several of the trial.
What the trials have in common, data and compiled programs, is loaded and compiled once.

Before its first trial it may be asked to examine trials, {"experiments": [...], "data_dir": ...}, to which it writes
the findings, or to load what it will need, {"load": true}.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import sys
import threading
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TextIO

from cnn_jax.plain_text import plain_lines
from cnn_jax.run import host_memory, standard_streams
from cnn_jax.run.errors import explain
from cnn_jax.run.exit_codes import DONE, FAILED, PAUSED, REFUSED, STOPPED


def main() -> None:
    """Trains until standard input ends, or a signal stops a trial."""
    standard_streams.make_text_safe()
    host_memory.keep_freed()  # before JAX makes threads
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    with open(os.devnull, "w", encoding="utf-8") as nowhere:
        os.dup2(nowhere.fileno(), sys.stdout.fileno())
    for line in sys.stdin:
        task = json.loads(line)
        data_dir = Path(task["data_dir"]) if task.get("data_dir") else None
        if "folders" not in task:
            if "experiments" in task:
                print(json.dumps(_examine(task["experiments"], data_dir)), file=answers, flush=True)
            _load()
            continue
        ends = _train_logged(
            [Path(folder) for folder in task["folders"]], data_dir, task["group"], task.get("until_epoch")
        )
        outcomes = [{"exit_code": code, "message": message} for code, message in ends]
        print(json.dumps({"ends": outcomes}), file=answers, flush=True)
        if any(code == STOPPED for code, _ in ends):
            sys.exit(STOPPED)


def _examine(experiments: list[dict[str, Any]], data_dir: Path | None) -> dict[str, Any]:
    from cnn_jax import compilation
    from cnn_jax.data.sources import kept
    from cnn_jax.sweep import examination

    kept.keep()
    compilation.enable_cache()  # JAX decides at the first program whether it keeps any
    return examination.answer(experiments, data_dir)


def _load() -> None:
    """Loads what trials are trained with, which takes a while, before the first comes."""
    with contextlib.suppress(Exception):  # what is wrong comes again, and into the log of the first trial
        from cnn_jax.train import loop  # noqa: F401

    # This can wait until programs are compiled, and is loaded meanwhile.
    threading.Thread(target=lambda: importlib.import_module("tensorboardX")).start()


def _train_logged(
    folders: list[Path], data_dir: Path | None, group: dict[str, Any] | None, until: int | None = None
) -> list[tuple[int, str]]:
    """Trains, and tells the logs how each trial ended."""
    name = f"log-{group['number']}.txt" if group and group["number"] else "log.txt"
    with contextlib.ExitStack() as closing:
        try:
            logs = [
                closing.enter_context((folder / name).open("a", encoding="utf-8", errors="backslashreplace"))
                for folder in folders
            ]
        except OSError as error:
            return [(FAILED, explain(error) or str(error))] * len(folders)
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
            os.dup2(logs[0].fileno(), stream.fileno())
        try:
            from cnn_jax.data.sources import kept

            kept.keep()
            if group:
                import jax

                from cnn_jax.run.process_group import ProcessGroup, join

                join(ProcessGroup(**group), jax.distributed.initialize)
            alone = len(folders) == 1
            errors = _train(folders[0], data_dir, until) if alone else _train_ensemble(folders, logs, data_dir, until)
        except Exception as error:  # whatever it is, it is these trials' failure alone
            errors = [error] * len(folders)
        if not group or group["number"] == 0:
            for folder, ended_by in zip(folders, errors, strict=True):
                _pack(folder, ended_by)
        sys.stdout.flush()
        sys.stderr.flush()
        return [_end(error, log) for error, log in zip(errors, logs, strict=True)]


def _train(folder: Path, data_dir: Path | None, until: int | None) -> list[BaseException | None]:
    from cnn_jax.run.folder import RunFolder
    from cnn_jax.train.loop import train_and_evaluate

    train_and_evaluate(RunFolder(folder).experiment(), folder, data_dir, until_epoch=until)
    return [None]


def _train_ensemble(
    folders: Sequence[Path], logs: Sequence[TextIO], data_dir: Path | None, until: int | None
) -> list[BaseException | None]:
    from rich.console import Console

    from cnn_jax.run.folder import RunFolder
    from cnn_jax.sweep import ensemble

    members = [
        ensemble.Member(RunFolder(folder).experiment(), folder, Console(file=log))
        for folder, log in zip(folders, logs, strict=True)
    ]
    ends = ensemble.train_and_evaluate(members, data_dir, until)
    return [end if isinstance(end, BaseException) else None for end in ends]


def _pack(folder: Path, error: BaseException | None) -> None:
    """Packs the checkpoints of a trial that is done, paused or diverged; if the disk is full they stay as they are."""
    from cnn_jax.run import packed_checkpoints
    from cnn_jax.run.folder import RunFolder, RunFolderError
    from cnn_jax.run.recorder import DivergedError, Paused

    if error is None or isinstance(error, DivergedError | Paused):
        with contextlib.suppress(OSError, RunFolderError):
            packed_checkpoints.pack(RunFolder(folder))


def _end(error: BaseException | None, log: TextIO) -> tuple[int, str]:
    """The exit code and message of a trial that raised this; the log is told, with the traceback of what is no end."""
    if error is None:
        return DONE, ""
    from cnn_jax.data.errors import UnreadableRecordError
    from cnn_jax.geometry.preflight import REFUSALS
    from cnn_jax.run.errors import RunFailed
    from cnn_jax.train.distributed import OtherProcessFailed
    from cnn_jax.train.loop import DivergedError, Paused, Stopped

    code, message = FAILED, (explain(error) if isinstance(error, OSError) else None) or str(error)
    if isinstance(error, REFUSALS):
        code = REFUSED
    elif isinstance(error, Stopped):
        code = STOPPED
    elif isinstance(error, Paused):
        return PAUSED, str(error)
    elif isinstance(error, DivergedError):
        message = f"diverged: {error}"
    elif not isinstance(error, OtherProcessFailed | UnreadableRecordError | RunFailed | OSError):
        print(plain_lines("".join(traceback.format_exception(error))), file=log)
        return FAILED, f"{type(error).__name__}: {error}"
    print(plain_lines(f"{ {REFUSED: 'refused', STOPPED: 'stopped'}.get(code, 'failed') }: {message}"), file=log)
    return code, message


if __name__ == "__main__":
    main()
