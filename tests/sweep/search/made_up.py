"""Results of trials that nobody trains, a pure function of their configs; without the package, which takes a while.

The validation score after epoch E is 0.9 - (log10(learning_rate) + 2)^2 / 20 - 0.1 / E, and a little that the seed
chooses; the test score is 1 less it, so that whoever decides by the test images chooses the worst. A label smoothing
above 0.15 diverges in the second epoch; a batch size below 16 has no network.
"""

import hashlib
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sweep.written_sweep import CPU, PACKAGES, result_of


def score(config: Mapping[str, Any], epoch: int) -> float:
    """The accuracy on the validation images after an epoch."""
    rate = config["optimizer"]["learning_rate"]
    noise = int(hashlib.sha256(str(config["seed"]).encode()).hexdigest()[:4], 16) / 2**16 / 100
    return round(0.9 - (math.log10(rate) + 2) ** 2 / 20 - 0.1 / epoch + noise, 6)


def diverges(config: Mapping[str, Any]) -> bool:
    return config["train"]["label_smoothing"] > 0.15


def train(folder: Path, config: Mapping[str, Any], until: int | None) -> str:
    """Leaves what a trial leaves; gives "done", "paused" or "diverged"."""
    path, epochs = folder / "metrics.jsonl", config["train"]["epochs"]
    known = path.read_text().count('"validation"') if path.exists() else 0
    for epoch in range(known + 1, (until or epochs) + 1):
        if epoch == 2 and diverges(config):
            return "diverged"
        found = {"validation": score(config, epoch), "test": 1 - score(config, epoch)}
        with path.open("a") as file:
            for split, accuracy in found.items():
                values = {"accuracy": accuracy, "loss": 1.0}
                file.write(json.dumps({"step": epoch, "epoch": epoch, "split": split, "values": values}) + "\n")
    if until is not None and until < epochs:
        return "paused"
    content = {"git": None, "packages": PACKAGES, "devices": CPU}
    (folder / "provenance.json").write_text(json.dumps(content))
    result = result_of(1 - score(config, epochs)) | {"final_epoch": epochs, "step": epochs}
    (folder / "result.json").write_text(json.dumps(result))
    return "done"
