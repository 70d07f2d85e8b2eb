"""A process that writes the table and the report of a sweep on request.

`python -m cnn_jax.report.sweep_writer FOLDER` reads lines from standard input, each a JSON list of "table" and
"report". It answers each line with a JSON object that has for each name the "path" written, the "seconds" taken, and
the "error" and its "trace" after a failure.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import sys
import time
import traceback
from pathlib import Path
from typing import Any

from cnn_jax.sweep.engines import confinement

_UNFINISHED = re.compile(r"\.(?:report|table\.csv|table\.parquet|points\.csv|sweep\.json|search\.json)\.(\d+)")


def main(folder: Path) -> None:
    """Answers requests until standard input ends or the requesting process exits."""
    confinement.confined(confinement.available_cores())()
    with contextlib.suppress(OSError):
        os.nice(10)  # the trials have priority
    remove_leftovers(folder)
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    for line in sys.stdin:
        answer = {name: write(name, folder) for name in json.loads(line)}
        print(json.dumps(answer), file=answers, flush=True)


def remove_leftovers(folder: Path) -> None:
    """Removes temporary files that killed processes have left."""
    for path in folder.iterdir():
        if (found := _UNFINISHED.fullmatch(path.name)) and not _is_running(int(found[1])):
            shutil.rmtree(path, ignore_errors=True)
            with contextlib.suppress(OSError):
                path.unlink()


def _is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        pass
    return True


def write(name: str, folder: Path) -> dict[str, Any]:
    """Writes the table or the report.

    Args:
      name: "table" or "report".
      folder: Folder of the sweep.

    Returns:
      The "path", the "seconds", the "error" and its "trace"; "error" and "trace" are None after a success.
    """
    began = time.monotonic()
    path = error = trace = None
    try:
        path = str(_write(name, folder))
    except Exception as failure:  # the sweep continues after any failure
        first = (str(failure).splitlines() or [""])[0]
        error, trace = f"{type(failure).__name__}: {first}", traceback.format_exc()
    return {"path": path, "seconds": time.monotonic() - began, "error": error, "trace": trace}


def _write(name: str, folder: Path) -> Path:
    if name == "table":
        from cnn_jax.sweep.table import write_table

        return write_table(folder)
    from cnn_jax.report.sweep_report import write_sweep_report

    return write_sweep_report(folder)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
