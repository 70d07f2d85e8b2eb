"""Runs docs/tutorial.ipynb and keeps its outputs: `make notebook`. `make check-notebook` (--check) keeps nothing."""

from __future__ import annotations

import argparse
import os
import re
import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

NOTEBOOK = Path(__file__).parents[2] / "docs/tutorial.ipynb"
_LONGEST = 300
"""Seconds that the notebook promises its reader at most."""
_MACHINE_PATH = re.compile(r"(?<![\w.:/])/(?:home|root|tmp|usr|var|work|Users|private|opt)/[\w./-]+")


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the notebook in a kernel of its own, from its folder.

    Args:
      argv: Words after the program's name.

    Returns:
      0 where every cell ran; 1 where an output names a path of this machine or it took too long, and the notebook is
      left as it was.
    """
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="leave the notebook as it is")
    options = parser.parse_args(argv)
    import nbclient  # of the documentation's environment, as nbformat is
    import nbformat

    os.environ.setdefault("PYTHONPATH", str(NOTEBOOK.parents[1]))
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    start = time.monotonic()
    nbclient.NotebookClient(
        notebook, timeout=_LONGEST, resources={"metadata": {"path": str(NOTEBOOK.parent)}}
    ).execute()
    seconds = time.monotonic() - start
    print(f"ran in {seconds:.0f} s")
    if seconds > _LONGEST:
        print(f"longer than the {_LONGEST} s that it promises", file=sys.stderr)
        return 1
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)  # times of this machine
    if found := sorted(set(machine_paths(notebook.cells))):
        print(f"outputs hold paths of this machine: {', '.join(found)}", file=sys.stderr)
        return 1
    if options.check:
        return 0
    notebook.metadata["language_info"] = {"name": "python"}
    nbformat.write(notebook, NOTEBOOK)
    return 0


def machine_paths(cells: Iterable[Any]) -> Iterable[str]:
    """Finds paths of a machine in the texts of cells' outputs.

    Args:
      cells: Cells of a notebook, as dictionaries.

    Returns:
      The paths.
    """
    for cell in cells:
        for output in cell.get("outputs", ()):
            texts = [output.get("text", ""), *output.get("traceback", ()), *_texts(output.get("data", {}))]
            for text in texts:
                yield from _MACHINE_PATH.findall("".join(text))


def _texts(data: dict[str, Any]) -> Iterable[str]:
    return (text for kind, text in data.items() if kind.startswith("text/"))


if __name__ == "__main__":
    raise SystemExit(main())
