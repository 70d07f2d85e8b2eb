"""Medians, spreads, and ratios round by round, of the turns."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from typing import Any

from rich.table import Table

from benchmarks.networks import Network

OURS = "cnn_jax"
SPREAD: tuple[Callable[..., float], ...] = (statistics.median, min, max)


def table(
    network: Network, batch_size: int, flop: int, turns: Sequence[dict[str, Any]], ceilings: Sequence[float]
) -> Table:
    """One competition.

    Args:
      network: what was trained.
      batch_size: images of a step.
      flop: Floating-point operations for one training image.
      turns: each with "name", "round" and either the figures of contestants/turn.py or "error".
      ceilings: Speed of the matrix product in each round, in FLOP/s.

    Returns:
      A row for each contestant, in the order in which they first come.
    """
    ceiling = statistics.median(ceilings)
    title = (
        f"{network.title}, {network.parameters:,} parameters, batch {batch_size}: {flop / 1e9:.3g} GFLOP a training "
        f"image;\nat the matrix product's {ceiling / 1e9:,.0f} GFLOP/s that allows {ceiling / flop:,.1f} images/s"
    )
    shown = Table(title=title, title_justify="left")
    shown.add_column("contestant")
    headings = ("images/s", "min - max", "cnn_jax is faster by", "min - max", "of the ceiling", "peak GB", "net GB")
    for heading in (*headings, "test acc.") if network.steps is None else headings:
        shown.add_column(heading, justify="right")
    rounds: dict[str, dict[int, dict[str, Any]]] = {}
    for turn in turns:
        rounds.setdefault(turn["name"], {})[turn["round"]] = turn
    finished = {
        name: {number: turn for number, turn in each.items() if "error" not in turn} for name, each in rounds.items()
    }
    for name, each in sorted(finished.items(), key=lambda pair: pair[0] != OURS):
        if not each:
            shown.add_row(name, next(iter(rounds[name].values()))["error"])
            continue
        speeds = {number: turn["images_per_second"] for number, turn in each.items()}
        ours = {number: turn["images_per_second"] for number, turn in finished.get(OURS, {}).items()}
        ratios = [ours[number] / speed for number, speed in speeds.items() if number in ours]
        shares = [speed * flop / ceilings[number] for number, speed in speeds.items()]
        speed, *speed_ends = (f"{figure(speeds.values()):,.{0 if ceiling / flop > 1000 else 1}f}" for figure in SPREAD)
        ratio, *ratio_ends = (f"{figure(ratios):.2f}" if ratios else "" for figure in SPREAD)
        memory = [f"{max(turn[kind] for turn in each.values()) / 1e9:.2f}" for kind in ("peak_bytes", "net_bytes")]
        row = [name, speed, " - ".join(speed_ends), ratio, " - ".join(filter(None, ratio_ends))]
        row += [f"{statistics.median(shares):.0%}", *memory]
        if network.steps is None:
            row.append(f"{statistics.median(turn['accuracy'] for turn in each.values()):.4f}")
        if failed := len(rounds[name]) - len(each):
            row[0] += f" ({failed} failed)"
        shown.add_row(*row)
    return shown
