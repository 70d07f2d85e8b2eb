"""Prints what `check.py` recorded as the table of docs/export.md: python -m scripts.export_checks.table FILE."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from scripts.export_checks.networks import NETWORKS, VERSIONS


def table(results: list[dict[str, Any]]) -> str:
    """Gives the table: networks by versions, the largest difference of both formats in each cell.

    Args:
      results: Figures of `check.py`.

    Returns:
      Markdown.
    """
    found = {(each["network"], each["version"]): each for each in results}
    lines = [f"| network | pixels | {' | '.join(VERSIONS)} |", "| --- " * (len(VERSIONS) + 2) + "|"]
    for name in NETWORKS:
        rows = [found.get((name, version)) for version in VERSIONS]
        sides = sorted({each["side"] for each in rows if each and "side" in each})
        cells = [_cell(each) for each in rows]
        lines.append(f"| `{name}` | {', '.join(map(str, sides))} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _cell(result: dict[str, Any] | None) -> str:
    """The largest difference; what is the network's own, or was not measured, stays empty."""
    if result is None:
        return ""
    if "illegal" in result:
        return "not legal"
    figures = [result[name] for name in ("ONNX", "StableHLO")]
    others = sum(each["other_classes"] for each in figures)
    said = f"{max(each['difference'] for each in figures):.1e}" + (f", {others} other classes" if others else "")
    return said if result["images"] == 10_000 else f"{said} ({result['images']})"


if __name__ == "__main__":
    print(table([json.loads(line) for line in Path(sys.argv[1]).read_text().splitlines()]))
