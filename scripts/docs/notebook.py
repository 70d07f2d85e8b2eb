"""Runs docs/tutorial.ipynb and keeps its outputs: `make notebook`."""

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
_MACHINE_PATH = re.compile(r"(?<![\w.:/])/(?:home|root|tmp|usr|var|work|Users|private|opt)/[\w./-]+")


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the notebook in a kernel of its own, from its folder.

    Args:
      argv: Words after the program's name.

    Returns:
      0 where every cell ran; 1 where an output names a path of this machine, and the notebook is left as it was.
    """
    argparse.ArgumentParser(description=__doc__).parse_args(argv)
    import nbclient  # of the documentation's environment, as nbformat is
    import nbformat

    os.environ.setdefault("PYTHONPATH", str(NOTEBOOK.parents[1]))
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    start = time.monotonic()
    nbclient.NotebookClient(notebook, timeout=600, resources={"metadata": {"path": str(NOTEBOOK.parent)}}).execute()
    print(f"ran in {time.monotonic() - start:.0f} s")
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)  # times of this machine
    if found := sorted(set(machine_paths(notebook.cells))):
        print(f"outputs hold paths of this machine: {', '.join(found)}", file=sys.stderr)
        return 1
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
