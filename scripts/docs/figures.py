"""Draws the figures of the lecture companion: `make figures`, or `python -m scripts.docs.figures [NAME ...]`."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path

from matplotlib.figure import Figure
from PIL import Image

from scripts.docs import array_figures, network_figures

FOLDER = Path(__file__).parents[2] / "docs" / "lecture" / "figures"
FIGURES: dict[str, Callable[[], Figure]] = {**array_figures.FIGURES, **network_figures.FIGURES}


def main(argv: Sequence[str] | None = None) -> None:
    """Writes the figures.

    Args:
      argv: Names of figures; none of them writes all.
    """
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"one of: {', '.join(FIGURES)}; all by default")
    names = parser.parse_args(argv).names or list(FIGURES)
    if unknown := [name for name in names if name not in FIGURES]:
        parser.error(f"unknown figure: {', '.join(unknown)}")
    FOLDER.mkdir(exist_ok=True)
    for name in names:
        path = FOLDER / f"{name}.png"
        FIGURES[name]().savefig(path, dpi=110)
        with Image.open(path) as drawn:
            drawn.convert("RGB").quantize(192).save(path, optimize=True)
        print(f"docs/lecture/figures/{path.name}: {path.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
