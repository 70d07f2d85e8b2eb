"""Compiles in a process of its own, which the compiler may crash: `python -m cnn_jax.aot.child JOB ANSWER`."""

from __future__ import annotations

import os
import re
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import jax

from cnn_jax import chips, compilation, whole_file
from cnn_jax.aot import collectives, gpu_program, lowering, matrix_unit, topology, traffic
from cnn_jax.aot.job import ANSWER, JOB, Answer, Compiled, Failed, Job, Memory, OutOfMemory, Refused
from cnn_jax.aot.topology import Topology
from cnn_jax.config.parsing import ConfigError
from cnn_jax.data.device import tta
from cnn_jax.geometry import preflight
from cnn_jax.geometry.preflight import REFUSALS
from cnn_jax.hlo import Module
from cnn_jax.ops.platform import building_for


def main(job_file: Path, answer_file: Path) -> None:
    """Reads a job from a file, and writes its answer to another."""
    whole_file.write(answer_file, ANSWER.dump_json(answer(JOB.validate_json(job_file.read_bytes()))))


def answer(job: Job) -> Answer:
    """Compiles the program of a job, and returns its costs or the reason for a failure."""
    target = topology.parse(job.topology)
    with building_for(target.platform):
        try:
            summary = preflight.check_network(job.experiment, job.image_shape, job.classes)
            devices = lowering.devices_of(target)
            if (fault := chips.arithmetic_fault(job.experiment, devices[0].device_kind)) is not None:
                raise ConfigError([fault])
            batch = lowering.batch_of(job, len(devices), target.chip.devices if target.chip else 1)
            if job.program == "train":
                preflight.check_norms(lowering.with_batch(job.experiment, batch * len(devices)), summary)
        except REFUSALS as error:
            return Refused(str(error))
        except RuntimeError as error:  # the compiler does not know such devices
            return Refused(f"--topology={job.topology}: {error}")
        started = time.monotonic()
        try:
            with tempfile.TemporaryDirectory(prefix="cnn-jax-xla-") as dump:
                options: dict[str, Any] = {**compilation.options(), **job.options}
                if target.platform == "gpu":
                    options["xla_dump_to"] = dump
                compiled = lowering.lower(job, batch, devices).compile(options)
                launches = gpu_program.read_launches(Path(dump))
        except jax.errors.JaxRuntimeError as error:
            if "RESOURCE_EXHAUSTED" in str(error):
                return OutOfMemory(str(error), batch)
            return Failed(str(error))
        seconds = time.monotonic() - started
    sizes: Any = compiled.memory_analysis()
    module = Module(compiled.as_text() or "")
    gpu = gpu_program.read(module, launches) if target.platform == "gpu" else None
    moved = traffic.off_chip(module, slices_in_fusions=gpu is not None)
    # XLA has no cost analysis for GPUs that are not attached.
    costs: Any = compiled.cost_analysis() or {}
    per_image = summary.training_flop if job.program == "train" else 2 * summary.multiply_adds
    if job.program == "eval":
        per_image *= tta.count(job.experiment.train.eval_mirrored, job.experiment.train.eval_shift)
    return Compiled(
        device_kind=devices[0].device_kind,
        devices=len(devices),
        batch=batch,
        device_memory=_memory(target, devices),
        memory=Memory(
            arguments=sizes.argument_size_in_bytes,
            outputs=sizes.output_size_in_bytes - sizes.alias_size_in_bytes,
            temporaries=sizes.temp_size_in_bytes,
            code=sizes.generated_code_size_in_bytes,
        ),
        flops=gpu.flops if gpu else costs["flops"],
        traffic=moved if gpu else min(costs["bytes accessed"], moved),
        counted=costs.get("bytes accessed"),
        collectives=collectives.read(module),
        model_flops=per_image * batch,
        fillings=matrix_unit.fillings(summary.layers, target.chip.matrix_unit)
        if target.chip is not None and target.chip.matrix_unit
        else (),
        seconds=seconds,
        gpu=gpu,
    )


def _memory(target: Topology, devices: list[Any]) -> int | None:
    """Returns a device's memory in bytes, from its description or the attached device; None if unknown."""
    platform = target.platform
    if (description := target.gpu_description) is not None:
        found = re.search(r"device_memory_size: (\d+)", description.read_text(encoding="utf-8"))
        return int(found[1]) if found else None
    if platform == "gpu":
        return int(devices[0].memory_stats()["bytes_limit"])
    if platform == "cpu":  # shared by all devices
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // len(devices)
    return None


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
