"""A worker without JAX: `python stand_in_worker.py FOLDER`; answers as `cnn_jax.sweep.worker`, with made-up results.

Trials take from nothing to 30 ms, as their configs and FOLDER's name say, so that they end in another order in every
folder. In a folder with the word "killed" in its name each fifth trial is killed once, in the middle of its epochs.
"""

import hashlib
import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))

from sweep.search.made_up import train

ENDS = {"done": (0, ""), "paused": (76, "paused"), "diverged": (1, "diverged: the loss is nan")}


def examine(config: dict[str, Any]) -> dict[str, Any]:
    infeasible = "too small" if config["train"]["batch_size"] < 16 else None
    return {"checksum": "abc", "parameters": 10, "multiply_adds": 20, "infeasible": infeasible, "fault": None}


def end(folder: Path, until: int | None, planted: Path) -> dict[str, Any]:
    digest = hashlib.sha256(f"{folder.name} {planted.name}".encode()).digest()
    mark = planted / f"{folder.name}.killed"
    if "killed" in planted.name and digest[1] % 5 == 0 and not mark.exists():
        mark.touch()
        train(folder, json.loads((folder / "config.json").read_text()), 1)
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(digest[0] / 255 * 0.03)
    code, message = ENDS[train(folder, json.loads((folder / "config.json").read_text()), until)]
    return {"exit_code": code, "message": message}


def main(planted: Path) -> None:
    for line in sys.stdin:
        task = json.loads(line)
        if "experiments" in task:
            found = [examine(config) for config in task["experiments"]]
            print(json.dumps({"trials": found, "platform": "cpu", "devices": 1}), flush=True)
        elif "folders" in task:
            ends = [end(Path(folder), task["until_epoch"], planted) for folder in task["folders"]]
            print(json.dumps({"ends": ends}), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
