"""Makes trials fail in every way there is: put as sitecustomize.py before a sweep and its worker processes."""

import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

CRASH, HANG, MEMORY, OOM_EXCEPTION = 101, 102, 103, 104  # seeds
_TAKEN = 3 * 2**30  # bytes, by a trial that takes too much

words = getattr(sys, "orig_argv", ())
if "cnn_jax.sweep.worker" in words:
    from cnn_jax.train import loop

    train_and_evaluate = loop.train_and_evaluate

    def faulty(experiment: Any, *rest: Any, **more: Any) -> Any:
        if experiment.seed == CRASH:
            print("about to crash", flush=True)
            os.kill(os.getpid(), signal.SIGSEGV)
        if experiment.seed == HANG:
            forever()
        if experiment.seed == OOM_EXCEPTION:
            raise RuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 99999999999 bytes.")
        if experiment.seed == MEMORY:
            taken = bytearray(os.urandom(2**20)) * (_TAKEN // 2**20)
            forever()
            del taken
        return train_and_evaluate(experiment, *rest, **more)

    def forever() -> None:
        while True:
            time.sleep(3600)

    loop.train_and_evaluate = faulty
elif any(word.endswith(("launch.py", "default_worker.py")) for word in words):  # which watch their trials' time
    from cnn_jax.sweep.engines.worker_slot import WorkerSlot

    begin, elapsed, hanging = WorkerSlot.begin, WorkerSlot.elapsed, set()

    def watched(slot: WorkerSlot, task: Any, *rest: Any) -> None:
        configs = [json.loads((Path(folder) / "config.json").read_text()) for folder in task["folders"]]
        (hanging.add if any(config["seed"] == HANG for config in configs) else hanging.discard)(slot)
        begin(slot, task, *rest)

    def quickly(slot: WorkerSlot) -> float:
        """An hour has passed for the trial that hangs, and for it alone: no other meets a limit on a slow machine."""
        return elapsed(slot) + 3600 * (slot in hanging)

    WorkerSlot.begin, WorkerSlot.elapsed = watched, quickly  # type: ignore[method-assign]
