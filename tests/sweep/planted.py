"""What makes trials fail in every way there is: put as sitecustomize.py before a sweep's worker processes."""

import os
import signal
import sys
import time
from typing import Any

CRASH, HANG, MEMORY, OOM_EXCEPTION = 101, 102, 103, 104  # seeds

if "cnn_jax.sweep.worker" in getattr(sys, "orig_argv", ()):
    from cnn_jax.train import loop

    train_and_evaluate = loop.train_and_evaluate

    def faulty(experiment: Any, *rest: Any) -> Any:
        if experiment.seed == CRASH:
            print("about to crash", flush=True)
            os.kill(os.getpid(), signal.SIGSEGV)
        if experiment.seed == HANG:
            time.sleep(3600)
        if experiment.seed == OOM_EXCEPTION:
            raise RuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 99999999999 bytes.")
        taken = []
        while experiment.seed == MEMORY:
            taken.append(bytearray(os.urandom(2**20)) * 64)
            time.sleep(0.02)
        return train_and_evaluate(experiment, *rest)

    loop.train_and_evaluate = faulty
