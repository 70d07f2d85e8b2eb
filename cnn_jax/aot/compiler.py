"""Runs the compiling process and interprets its outcome; only that process uses devices."""

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
    """Alternative compiler options, for programs on which the compiler crashes.

    Attributes:
      meaning: Description of the options.
      options: Options as `jax.stages.Lowered.compile` takes them.
    """

    meaning: str
    options: dict[str, str | float]


@dataclasses.dataclass(frozen=True)
class Outcome:
    """Outcome of one program's compilation.

    Attributes:
      answer: Answer of the first successful attempt, or of the last one.
      failures: Description of the options, and message, of each earlier attempt.
      fallback: Description of the options that succeeded; None for the default options.
    """

    answer: Answer
    failures: tuple[tuple[str, str], ...]
    fallback: str | None


FALLBACKS = (
    Fallback("least compiler effort", {"exec_time_optimization_effort": -1.0}),
    Fallback("no scheduling around communication", {"xla_tpu_enable_latency_hiding_scheduler": "false"}),
)


def compile_program(job: Job, report: Callable[[str], None], child: Sequence[str] = _CHILD) -> Outcome:
    """Compiles one program; if the compiler fails for a TPU, tries alternative options.

    Args:
      job: Program and devices.
      report: Receives a line about each failed attempt.
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
        meaning = fallback.meaning if fallback else "the compiler's default options"
        if not isinstance(answer, Failed):
            return Outcome(answer, tuple(failures), fallback.meaning if fallback else None)
        failures.append((meaning, answer.message))
        report(f"{job.program} step, {meaning}: {answer.message}")
    return Outcome(answer, tuple(failures[:-1]), None)


def _run(job: Job, child: Sequence[str]) -> Answer:
    with tempfile.TemporaryDirectory(prefix="cnn-jax-compile-") as name:
        folder = Path(name)
        job_file, answer_file, log = folder / "job.json", folder / "answer.json", folder / "log.txt"
        job_file.write_bytes(JOB.dump_json(job))
        with log.open("wb") as output:
            words = [*child, str(job_file), str(answer_file)]
            done = subprocess.run(words, env=_environment(job), stdout=output, stderr=subprocess.STDOUT)
        if done.returncode == 0 and answer_file.exists():
            return ANSWER.validate_json(answer_file.read_bytes())
        tail = faults.log_tail(log)
        _, message, _ = faults.of_process_end(done.returncode, tail)
        return Failed("\n  ".join([f"{message}; its last output:", *tail] if tail else [message]))


def _environment(job: Job) -> dict[str, str]:
    """Returns the environment of the compiling process, which hides accelerators that it does not need."""
    target = topology.parse(job.topology)
    variables = {}
    if target.platform != "gpu" or target.gpu_description is not None:
        variables["JAX_PLATFORMS"] = "cpu"
    if target.platform == "tpu":
        # A run on this machine's TPU may hold libtpu's lock, and the metadata server need not name a slice.
        variables |= {"ALLOW_MULTIPLE_LIBTPU_LOAD": "1", "TPU_SKIP_MDS_QUERY": "1"}
    if target.platform == "cpu":
        count = f"--xla_force_host_platform_device_count={target.chips}"
        variables["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {count}".strip()
    return confinement.environment(variables)
