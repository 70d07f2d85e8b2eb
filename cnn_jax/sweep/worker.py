"""A process that trains one trial after another, each as `launch.py train` would, into its own folder.

It reads a JSON object a line from standard input, {"folder": ..., "data_dir": ..., "group": ...}, and writes one a
line when the trial has ended, {"exit_code": ..., "message": ...}, with launch.py's exit codes. All that a trial prints,
native libraries included, goes to log.txt in its folder. A group makes this process one of several of the trial. What
the trials have in common, data and compiled programs, is loaded and compiled once.
"""

from __future__ import annotations

import json
import os
import sys
import traceback
from pathlib import Path
from typing import Any

from cnn_jax.exit_codes import DONE, FAILED, REFUSED, STOPPED


def main() -> None:
    """Trains until standard input ends, or a signal stops a trial."""
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    for line in sys.stdin:
        task = json.loads(line)
        data_dir = Path(task["data_dir"]) if task["data_dir"] else None
        code, message = _train_logged(Path(task["folder"]), data_dir, task["group"])
        print(json.dumps({"exit_code": code, "message": message}), file=answers, flush=True)
        if code == STOPPED:
            sys.exit(STOPPED)


def _train_logged(folder: Path, data_dir: Path | None, group: dict[str, Any] | None) -> tuple[int, str]:
    name = f"log-{group['number']}.txt" if group and group["number"] else "log.txt"
    log = os.open(folder / name, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
        os.dup2(log, stream.fileno())
    os.close(log)
    try:
        if group:
            from cnn_jax.train import processes

            processes.join(processes.Group(**group))
        code, message = _train(folder, data_dir)
        if message:
            print(f"{'refused' if code == REFUSED else 'failed'}: {message}", file=sys.stderr)
    except Exception as error:  # whatever it is, it is this trial's failure alone
        traceback.print_exc()
        code, message = FAILED, f"{type(error).__name__}: {error}"
    sys.stdout.flush()
    sys.stderr.flush()
    return code, message


def _train(folder: Path, data_dir: Path | None) -> tuple[int, str]:
    from cnn_jax.train.loop import DivergedError, Stopped, train_and_evaluate
    from cnn_jax.train.processes import OtherProcessFailed
    from cnn_jax.train.refusals import REFUSALS
    from cnn_jax.train.run_folder import RunFolder

    try:
        train_and_evaluate(RunFolder(folder).experiment(), folder, data_dir)
    except REFUSALS as error:
        return REFUSED, str(error)
    except DivergedError as error:
        return FAILED, f"diverged: {error}"
    except OtherProcessFailed as error:
        return FAILED, str(error)
    except Stopped as error:
        return STOPPED, str(error)
    return DONE, ""


if __name__ == "__main__":
    main()
