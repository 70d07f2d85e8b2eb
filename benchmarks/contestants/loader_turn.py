"""A loader's turn: its options, its clock over all of its processes, and the line that it ends with.

Every contestant imports this in an environment of its own, so it needs the standard library alone.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Iterable
from pathlib import Path

SIDE = 224
AREA = (0.08, 1.0)
ASPECT = (3 / 4, 4 / 3)
_WARM_UP = 4  # batches that are not counted: the workers' start, and what they have made ahead


def parser(description: str | None) -> argparse.ArgumentParser:
    """The options that every contestant has."""
    options = argparse.ArgumentParser(description=description)
    options.add_argument("--pictures", required=True, help="folder of class folders of JPEGs")
    options.add_argument("--records", required=True, help="folder of folders of records of the same pictures")
    options.add_argument("--batch_size", type=int, required=True)
    options.add_argument("--batches", type=int, required=True, help="counted ones")
    options.add_argument("--cores", type=int, required=True, help="that it may use; as many workers, or threads")
    return options


def started(options: argparse.Namespace) -> argparse.Namespace:
    """Keeps this process, and all that it will start, to its cores."""
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: options.cores])
    return options


def files(folder: str) -> tuple[list[str], list[int]]:
    """The pictures' paths and labels."""
    paths = sorted(Path(folder).glob("*/*.jpg"))
    names = sorted({path.parent.name for path in paths})
    return [str(path) for path in paths], [names.index(path.parent.name) for path in paths]


def end(options: argparse.Namespace, batches: Iterable[tuple[object, object]], versions: str) -> None:
    """Takes batches against the clock and prints the figures as one line of JSON."""
    taken = iter(batches)
    for _ in range(_WARM_UP):
        next(taken)
    begun, spent = time.monotonic(), processor_seconds()
    for _ in range(options.batches):
        images, labels = next(taken)
        assert tuple(images.shape) in ((options.batch_size, SIDE, SIDE, 3), (options.batch_size, 3, SIDE, SIDE))
        assert len(labels) == options.batch_size
    seconds, spent = time.monotonic() - begun, processor_seconds() - spent
    count = options.batches * options.batch_size
    figures = {
        "images_per_second_and_core": count / seconds / options.cores,
        "images_per_processor_second": count / spent,
        "versions": versions,
    }
    print(json.dumps(figures), flush=True)


def processor_seconds() -> float:
    """Sums the processor time of this process and its living descendants, read under /proc (Linux)."""
    parents, ticks = {}, {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()  # the name before may hold anything
        except OSError:  # it has ended meanwhile
            continue
        number = int(stat.parent.name)
        parents[number], ticks[number] = int(fields[1]), int(fields[11]) + int(fields[12])
    family, total = {os.getpid()}, 0
    while family:
        total += sum(ticks[number] for number in family)
        family = {number for number, parent in parents.items() if parent in family}
    return total / os.sysconf("SC_CLK_TCK")
