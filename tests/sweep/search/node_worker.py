"""The stand-in worker on a node of a Ray cluster: `python node_worker.py FOLDER`.

Notes in FOLDER which node trains each trial. Where FOLDER's name is "lost", the first trial of all waits in the middle
of its epochs, and its node is to be lost.
"""

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))

from moments import parent

from sweep.search import stand_in_worker
from sweep.search.made_up import train

_end = stand_in_worker.end


def raylet() -> int:
    """The process of this node: a worker is started by a Ray worker, and that by its node."""
    return parent(os.getppid())


def end(folder: Path, until: int | None, planted: Path) -> dict[str, Any]:
    (planted / f"{folder.name}.node").write_text(str(raylet()))
    if planted.name == "lost":
        try:
            (planted / "first").touch(exist_ok=False)
        except FileExistsError:
            return _end(folder, until, planted)
        train(folder, json.loads((folder / "config.json").read_text()), 1)
        (planted / "named").write_text(str(raylet()))
        (planted / "named").rename(planted / "lose")
        signal.pause()
    return _end(folder, until, planted)


if __name__ == "__main__":
    stand_in_worker.end = end
    stand_in_worker.main(Path(sys.argv[1]))
