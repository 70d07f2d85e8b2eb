"""Writes a sweep's folder as a sweep leaves it, without training anything."""

import itertools
import json
from pathlib import Path

PACKAGES = {"jax": "0.10.2", "flax": "0.12.8"}
CPU = {"platform": "cpu", "kind": "cpu", "count": 1, "processor": "Example 9000", "cores": 8}


def write_json(path: Path, content: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))


def trial_of(number: int, point: dict, seed: int, **more) -> dict:
    """An entry of sweep.json's list of trials."""
    overrides = {field: value for field, value in point.items() if value is not None} | {"seed": seed}
    entry = {"id": f"{number:016x}", "overrides": overrides, "point": point, "seed": seed}
    return entry | {"infeasible": None, "parameters": 1000, "multiply_adds": 50000} | more


def write_sweep(folder: Path, fields: list[str], trials: list[dict], baseline: dict | None = None, **more) -> Path:
    """Writes sweep.json; every trial waits."""
    content = {"experiment": "padding_and_stride", "description": "", "fields": fields, "baseline": baseline}
    write_json(folder / "sweep.json", content | {"trials": trials} | more)
    return folder


def write_provenance(folder: Path, trial: dict, commit="a" * 40, dirty=None, packages=None, devices=None) -> None:
    content = {"git": {"commit": commit, "dirty": dirty}, "packages": packages or PACKAGES, "devices": devices or CPU}
    write_json(folder / "trials" / trial["id"] / "provenance.json", content)


def write_status(folder: Path, trial: dict, status: str, **more) -> None:
    content = {"status": status, "fault": None, "message": "", "log_tail": [], "exit_code": 0, "signal": None}
    content |= {"attempts": 1, "seconds": 12.5, "engine": "local", "host": "bench"}
    write_json(folder / "trials" / trial["id"] / "status.json", content | more)


def write_metrics(folder: Path, trial: dict, accuracies: list[float], split: str = "test") -> None:
    """Writes metrics.jsonl with one accuracy per epoch."""
    path = folder / "trials" / trial["id"] / "metrics.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        for epoch, accuracy in enumerate(accuracies, 1):
            values = {"accuracy": accuracy, "loss": 2 - accuracy}
            file.write(json.dumps({"step": epoch, "epoch": epoch, "split": split, "values": values}) + "\n")


def result_of(accuracy: float, top5_error: float | None = 0.01, parameters: int = 1000, **seconds: float) -> dict:
    """The content of a result.json."""
    return {
        "test_accuracy": accuracy,
        "test_loss": 1 - accuracy,
        "test_top1_error": 1 - accuracy,
        "test_top5_error": top5_error,
        "step": 3,
        "best_epoch": 3,
        "final_epoch": 3,
        "selected_by": "last_epoch",
        "parameters": parameters,
        "images_per_second": 5000.0,
        "seconds": {"compile": 1.0, "training": 20.0, "evaluation": 2.0, "total": 24.0} | seconds,
    }


def finish(folder: Path, trial: dict, accuracy: float, top5_error: float | None = 0.01, **seconds: float) -> None:
    """Writes all that a finished run leaves."""
    write_provenance(folder, trial)
    write_status(folder, trial, "done")
    write_metrics(folder, trial, [accuracy - 0.1, accuracy - 0.02, accuracy])
    result = result_of(accuracy, top5_error, trial["parameters"], **seconds)
    write_json(folder / "trials" / trial["id"] / "result.json", result)


def fail(folder: Path, trial: dict, fault: str, message: str, log_tail: list[str]) -> None:
    write_status(folder, trial, "failed", fault=fault, message=message, log_tail=log_tail, exit_code=1, attempts=2)


PADDINGS = ("VALID", "SAME", "SAME_LOWER", "TORCH", [[1, 2], [2, 1]])


def padding_and_stride(folder: Path, seeds: int = 3, finished: bool = True) -> Path:
    """5 paddings x 3 strides x seeds: VALID with stride 3 and the pairs with stride 3 infeasible, 3 trials failed.

    The accuracy is 0.9 - 0.02 * (stride - 1) + 0.004 * (number of the padding), and its own small part per seed.
    """
    fields, trials = ["model.padding", "model.strides"], []
    combinations = itertools.product(enumerate(PADDINGS), (1, 2, 3), range(seeds))
    for number, ((rank, padding), stride, seed) in enumerate(combinations):
        lacking = stride == 3 and rank in (0, 4)
        reason = f"layer conv_3, input 2x2x64: a window of 3 does not fit, padding={padding}" if lacking else None
        size = {"parameters": 93322 // stride + 100 * rank, "multiply_adds": 8_000_000 // stride**2}
        size = dict.fromkeys(size) if lacking else size
        point = {"model.padding": padding, "model.strides": stride}
        trials.append(trial_of(number, point, seed, infeasible=reason, **size))
    baseline = {"model.padding": "VALID", "model.strides": 1}
    write_sweep(folder, fields, trials, baseline, description="Does padding matter <more> than stride?")
    faults = {
        (1, 2, 1): ("diverged", "the training loss is nan after step 40 (epoch 1)"),
        (2, 3, 0): ("memory", "RESOURCE_EXHAUSTED: out of memory"),
        (3, 1, 2): ("killed", "ended by SIGKILL after 2 attempts"),
    }
    for trial in trials if finished else ():
        if trial["infeasible"]:
            continue
        rank, stride = PADDINGS.index(trial["point"]["model.padding"]), trial["point"]["model.strides"]
        seed = trial["seed"]
        if (rank, stride, seed) in faults:
            fault, message = faults[rank, stride, seed]
            fail(folder, trial, fault, message, ["epoch 1: loss 2.1", "<Traceback>", f"Error: {message}"])
            continue
        noise = 0.001 * ((7 * rank + 5 * stride + 3 * seed) % 5)
        accuracy = 0.9 - 0.02 * (stride - 1) + 0.004 * rank + noise
        finish(folder, trial, round(accuracy, 4), training=20.0 / stride + rank + 0.1 * seed)
    return folder
