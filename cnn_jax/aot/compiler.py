"""Runs the compiling process, and tells how it ended; no device is touched but by that process."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from cnn_jax.aot import topology
from cnn_jax.aot.job import ANSWER, JOB, Answer, Failed, Job
from cnn_jax.sweep import faults
from cnn_jax.sweep.engines import confinement

_CHILD = (sys.executable, "-m", "cnn_jax.aot.child")


@dataclasses.dataclass(frozen=True)
class Fallback:
    """Other options of the compiler, for programs on which it crashes.

    Attributes:
      meaning: Change that they make, in words.
      options: Options as `jax.stages.Lowered.compile` takes them.
    """

    meaning: str
    options: dict[str, str | float]


@dataclasses.dataclass(frozen=True)
class Outcome:
    """Outcome of one program's compilation.

    Attributes:
      answer: Answer of the first attempt that did not fail, or of the last.
      failures: Options and message of each attempt before.
      fallback: Options that gave the answer; None where the compiler's own options did.
    """

    answer: Answer
    failures: tuple[tuple[str, str], ...]
    fallback: str | None


FALLBACKS = (
    Fallback("least effort of the compiler", {"exec_time_optimization_effort": -1.0}),
    Fallback("no scheduling around communication", {"xla_tpu_enable_latency_hiding_scheduler": "false"}),
)


def compile_program(job: Job, report: Callable[[str], None], child: Sequence[str] = _CHILD) -> Outcome:
    """Compiles one program; where the compiler fails for a TPU, with other options too.

    Args:
      job: Program, and for which devices.
      report: Function that gets a line about each attempt that failed.
      child: Command of the compiling process.

    Returns:
      The outcome.
    """
    attempts: list[Fallback | None] = [None]
    if topology.parse(job.topology).platform == "tpu":
        attempts += FALLBACKS
    failures: list[tuple[str, str]] = []
    for fallback in attempts:
        options = job.options | (fallback.options if fallback else {})
        answer = _run(dataclasses.replace(job, options=options), child)
        meaning = fallback.meaning if fallback else "the compiler's own options"
        if not isinstance(answer, Failed):
            return Outcome(answer, tuple(failures), fallback.meaning if fallback else None)
        failures.append((meaning, answer.message))
        report(f"{job.program} step, {meaning}: {answer.message}")
    return Outcome(answer, tuple(failures[:-1]), None)


def _run(job: Job, child: Sequence[str]) -> Answer:
    with tempfile.TemporaryDirectory(prefix="cnn-jax-compile-") as name:
        folder = Path(name)
        asked, answered, log = folder / "job.json", folder / "answer.json", folder / "log.txt"
        asked.write_bytes(JOB.dump_json(job))
        with log.open("wb") as output:
            done = subprocess.run(
                [*child, str(asked), str(answered)], env=_environment(job), stdout=output, stderr=subprocess.STDOUT
            )
        if done.returncode == 0 and answered.exists():
            return ANSWER.validate_json(answered.read_bytes())
        tail = faults.log_tail(log)
        _, message, _ = faults.of_process_end(done.returncode, tail)
        return Failed("\n  ".join([f"{message}; the last it wrote:", *tail] if tail else [message]))


def _environment(job: Job) -> dict[str, str]:
    """Environment of the compiling process, which leaves alone the accelerators that it does not need."""
    asked = topology.parse(job.topology)
    ours = {}
    if asked.platform != "gpu" or asked.gpu_description is not None:
        ours["JAX_PLATFORMS"] = "cpu"
    if asked.platform == "tpu":
        # A run on this machine's own TPU may hold the library's lock; nobody need answer what slice this is.
        ours |= {"ALLOW_MULTIPLE_LIBTPU_LOAD": "1", "TPU_SKIP_MDS_QUERY": "1"}
    if asked.platform == "cpu":
        count = f"--xla_force_host_platform_device_count={asked.chips}"
        ours["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {count}".strip()
    return confinement.environment(ours)
