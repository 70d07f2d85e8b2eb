"""The process that compiles: `python -m cnn_jax.aot.child JOB ANSWER`, two files. It may crash; nothing else does."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Any

import jax

from cnn_jax import whole_file
from cnn_jax.aot import collectives, lowering, matrix_unit, topology, traffic
from cnn_jax.aot.job import ANSWER, JOB, Answer, Compiled, Failed, Job, Memory, OutOfMemory, Refused
from cnn_jax.data.device import views
from cnn_jax.geometry import preflight
from cnn_jax.geometry.preflight import REFUSALS
from cnn_jax.hlo import Module
from cnn_jax.ops.platform import building_for
from cnn_jax.train import compilation


def main(job_file: Path, answer_file: Path) -> None:
    """Answers one job."""
    whole_file.write(answer_file, ANSWER.dump_json(answer(JOB.validate_json(job_file.read_bytes()))))


def answer(job: Job) -> Answer:
    """Compiles one program.

    Args:
      job: which.

    Returns:
      What the compiler tells of it, or why there is nothing to tell.
    """
    asked = topology.parse(job.topology)
    with building_for(asked.platform):
        try:
            summary = preflight.check_network(job.experiment, job.image_shape, job.classes)
            devices = lowering.devices_of(asked)
            batch = lowering.batch_of(job, len(devices), asked.chip.devices if asked.chip else 1)
            if job.program == "train":
                preflight.check_norms(lowering.with_batch(job.experiment, batch * len(devices)), summary)
        except REFUSALS as error:
            return Refused(str(error))
        except RuntimeError as error:  # the library's, where it knows no such devices
            return Refused(f"--topology={job.topology}: {error}")
        started = time.monotonic()
        try:
            options: dict[str, Any] = {**compilation.options(), **job.options}
            compiled = lowering.lower(job, batch, devices).compile(options)
        except jax.errors.JaxRuntimeError as error:
            if "RESOURCE_EXHAUSTED" in str(error):
                return OutOfMemory(str(error), batch)
            return Failed(str(error))
        seconds = time.monotonic() - started
    sizes: Any = compiled.memory_analysis()
    costs: Any = compiled.cost_analysis()
    module = Module(compiled.as_text() or "")
    per_image = summary.training_flop if job.program == "train" else 2 * summary.multiply_adds
    if job.program == "eval":
        per_image *= views.count(job.experiment.train.eval_mirrored, job.experiment.train.eval_shift)
    return Compiled(
        device_kind=devices[0].device_kind,
        devices=len(devices),
        batch=batch,
        device_memory=_memory_here(asked.platform, devices),
        memory=Memory(
            arguments=sizes.argument_size_in_bytes,
            outputs=sizes.output_size_in_bytes - sizes.alias_size_in_bytes,
            temporaries=sizes.temp_size_in_bytes,
            code=sizes.generated_code_size_in_bytes,
        ),
        flops=costs["flops"],
        traffic=min(costs["bytes accessed"], traffic.off_chip(module)),
        counted=costs["bytes accessed"],
        collectives=collectives.read(module),
        model_flops=per_image * batch,
        fillings=matrix_unit.fillings(summary.layers, asked.chip.matrix_unit)
        if asked.chip is not None and asked.chip.matrix_unit
        else (),
        seconds=seconds,
    )


def _memory_here(platform: str, devices: list[Any]) -> int | None:
    """Bytes that a program may use on a device of this machine; None where the devices are elsewhere."""
    if platform == "gpu":
        return int(devices[0].memory_stats()["bytes_limit"])
    if platform == "cpu":  # all its devices share it
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // len(devices)
    return None


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
