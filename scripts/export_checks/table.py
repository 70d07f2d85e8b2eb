"""Prints what `check.py` recorded as the table of docs/export.md: python -m scripts.export_checks.table FILE."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from scripts.export_checks.networks import COMBINATIONS, NETWORKS, VERSIONS

IMAGES = 10_000  # that a cell is of which says nothing else


def table(results: list[dict[str, Any]]) -> str:
    """Gives the table: networks by versions, the largest difference of both formats in each cell.

    Args:
      results: Figures of `check.py`.

    Returns:
      Markdown.
    """
    found = {(each["network"], each["version"]): each for each in results}
    lines = [f"| network | pixels | {' | '.join(VERSIONS)} | {COMBINATIONS} |", "| --- " * (len(VERSIONS) + 3) + "|"]
    for name in NETWORKS:
        rows = [found.get((name, version)) for version in VERSIONS]
        side = next((each["side"] for each in rows if each and "side" in each), "")
        cells = [_cell([each] if each else [], side) for each in rows]
        both = [each for (network, version), each in found.items() if network == name and version not in VERSIONS]
        lines.append(f"| `{name}` | {side} | {' | '.join(cells)} | {_cell(both, side)} |")
    return "\n".join(lines)


def _cell(results: list[dict[str, Any]], side: int | str) -> str:
    """Gives the largest difference and the faults; a version that was not measured stays empty."""
    legal = [each for each in results if "illegal" not in each]
    if not legal:
        return "not legal" if results else ""
    figures = [each[name] for each in legal for name in ("ONNX", "StableHLO")]
    others = sum(each["other_classes"] for each in figures)
    notes = [f"{len(legal)} versions"] * (len(legal) > 1)
    images, sides = min(each["images"] for each in legal), {each["side"] for each in legal}
    notes += [f"{images:,} images"] * (images != IMAGES)
    notes += [f"{max(sides)} pixels"] * (len(legal) == 1 and sides != {side})
    notes += [f"{others} other classes"] * (others > 0)
    notes += [fault for each in legal for fault in each["faults"]]
    said = f"{max(each['difference'] for each in figures):.1e}"
    return f"{said} ({', '.join(notes)})" if notes else said


if __name__ == "__main__":
    print(table([json.loads(line) for line in Path(sys.argv[1]).read_text().splitlines()]))
