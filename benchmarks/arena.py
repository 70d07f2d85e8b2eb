"""Contestants and their turns, each in a process of its own."""

from __future__ import annotations

import dataclasses
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cnn_jax.run.machine import processor

FOLDER = Path(__file__).parent
LONGEST_TURN = 1200  # seconds


@dataclasses.dataclass(frozen=True)
class Contestant:
    """One program: its script, which environment runs it, and with what."""

    name: str
    script: str
    peer: bool = True
    by_default: bool = True
    arguments: tuple[str, ...] = ()
    environment: tuple[tuple[str, str], ...] = ()


def keep(name: str, **figures: Any) -> None:
    """Writes a benchmark's figures, with the machine and the time, to results/NAME-TIME.json, and says where."""
    results = FOLDER / "results" / f"{name}-{time.strftime('%Y%m%d-%H%M%S')}.json"
    results.parent.mkdir(exist_ok=True)
    machine = {"platform": platform.platform(), "processor": processor(), "cores": os.cpu_count()}
    results.write_text(json.dumps({"machine": machine} | figures, indent=2), encoding="utf-8")
    print(f"figures: {results}")


def take_turn(
    contestant: Contestant, peers: str, arguments: Sequence[str], environment: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """Lets a contestant take its turn.

    Args:
      contestant: Contestant whose turn it is.
      peers: Python of the environment with the peers.
      arguments: Command line arguments of this turn, before the contestant's own.
      environment: Environment variables of this turn, beside the contestant's own.

    Returns:
      The line of JSON that it ends with, or {"error": why there is none}.
    """
    words = [peers if contestant.peer else sys.executable, str(FOLDER / "contestants" / contestant.script)]
    variables = os.environ | dict(contestant.environment) | {"TF_CPP_MIN_LOG_LEVEL": "3"} | dict(environment or {})
    if not contestant.peer:
        variables["PYTHONPATH"] = str(FOLDER.parent)
    try:
        done = subprocess.run(
            [*words, *arguments, *contestant.arguments],
            env=variables,
            cwd=FOLDER.parent,
            capture_output=True,
            text=True,
            check=False,
            timeout=LONGEST_TURN,
        )
    except subprocess.TimeoutExpired:
        return {"error": f"took more than {LONGEST_TURN} s"}
    if done.returncode < 0:
        return {"error": f"killed by signal {-done.returncode}" + (", out of memory?" * (done.returncode == -9))}
    if done.returncode:
        return {"error": (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]}
    figures: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return figures
