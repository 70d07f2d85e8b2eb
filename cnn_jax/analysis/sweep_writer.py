"""A process that writes the table and the report of a sweep, as often as it is asked to.

`python -m cnn_jax.analysis.sweep_writer FOLDER` reads a JSON list of names a line from standard input, of "table" and
"report", and answers with a JSON object a line: for each name the "path" that it wrote, the "seconds" that it took, and
the "error" and its "trace" where it failed.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time
import traceback
from pathlib import Path
from typing import Any


def main(folder: Path) -> None:
    """Answers until standard input ends."""
    with contextlib.suppress(OSError):
        os.nice(10)  # the trials come first
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    for line in sys.stdin:
        told = {name: write(name, folder) for name in json.loads(line)}
        print(json.dumps(told), file=answers, flush=True)


def write(name: str, folder: Path) -> dict[str, Any]:
    """Writes the table or the report.

    Args:
      name: "table" or "report".
      folder: Folder of the sweep.

    Returns:
      The "path", the "seconds", the "error" and its "trace"; "error" and "trace" are None where all went well.
    """
    began = time.monotonic()
    path = error = trace = None
    try:
        path = str(_write(name, folder))
    except Exception as failure:  # whatever it is, the sweep goes on
        first = (str(failure).splitlines() or [""])[0]
        error, trace = f"{type(failure).__name__}: {first}", traceback.format_exc()
    return {"path": path, "seconds": time.monotonic() - began, "error": error, "trace": trace}


def _write(name: str, folder: Path) -> Path:
    if name == "table":
        from cnn_jax.sweep.table import write_table

        return write_table(folder)
    from cnn_jax.analysis.sweep_report import write_sweep_report

    return write_sweep_report(folder)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
