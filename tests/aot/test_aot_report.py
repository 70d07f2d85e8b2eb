"""Reports of steps that fit, do not fit, or crash the compiler; the compiler's answers are planted."""

import io
import json

import pytest
from rich.console import Console

from cnn_jax.aot import report, run, topology
from cnn_jax.aot.collectives import Collective
from cnn_jax.aot.compiler import Outcome
from cnn_jax.aot.job import Compiled, Failed, Memory, OutOfMemory, Refused
from cnn_jax.aot.matrix_unit import Filling
from cnn_jax.aot.request import CompileRequest
from cnn_jax.config.parsing import ConfigError, parse

GIB = 2**30
EXPERIMENT = parse({"data": {"name": "mnist"}})
FULL = (
    "RESOURCE_EXHAUSTED: Ran out of memory in memory space hbm. Used 31.50G of 15.75G hbm. Exceeded hbm capacity by "
    "15.75G.\n\nTotal hbm usage >= 31.75G:\n    reserved        258.00M"
)
FULL_OF_TEMPORARIES = (
    "RESOURCE_EXHAUSTED: Ran out of memory on HBM, the total memory required for HLO temporaries (31.50G) exceeds "
    "available HBM (15.75G)."
)


def compiled(devices=4, batch=256, memory=8 * GIB):
    return Compiled(
        device_kind="TPU v5 lite",
        devices=devices,
        batch=batch,
        device_memory=None,
        memory=Memory(GIB, 0, memory - GIB, 0),
        flops=6e12,
        traffic=81.9e9,
        counted=95e9,
        collectives=(Collective("all-reduce", 40_000_000, ("gradients",)),) * 2,
        model_flops=5_910_000_000_000,
        fillings=(Filling("half", 64, 128, 100, 0.5), Filling("full", 128, 128, 100, 0.0)),
        seconds=75.0,
    )


def findings(answer, chips="v5e:2x2", largest=False):
    request = CompileRequest(topology.parse(chips), None, largest, None, None)

    def compile_one(job, told):
        return answer(job) if callable(answer) else Outcome(answer, (), None)

    return run.run(EXPERIMENT, request, lambda text: None, compile_one)


def printed(found):
    console = Console(file=io.StringIO(), width=160)
    console.print(report.as_table(found, EXPERIMENT))
    return console.file.getvalue()


def test_figures_of_a_step_that_fits():
    found = findings(compiled())
    step = json.loads(report.as_json(found, EXPERIMENT))["steps"][0]
    # 81.9 GB at 819 GB/s are 100 ms; 5.91 TFLOP in them 59.1 TFLOP/s of 197
    assert step["roofline_estimate"] == pytest.approx(
        {"seconds": 0.1, "bound": "memory", "images_per_second": 2560, "utilisation": 0.3}
    )
    assert (step["fits"], step["memory_share"]) == (True, 0.5)
    assert step["collectives"] == [{"operation": "all-reduce", "carries": "gradients", "count": 2, "bytes": 80_000_000}]
    # 64 x 128 in one tile wastes half of it: of three tiles' worth of work one is padding
    assert step["matrix_unit_waste"] == pytest.approx(1 / 3)
    text = printed(found)
    for part in ("100 ms", "2,560", "30.0%", "16.00 GiB: 50.0%", "2: 80 MB", "an estimate by roofline", "at least 33%"):
        assert part in text


def test_a_v3_chip_is_two_devices():
    found = findings(compiled(devices=8, batch=128), "v3:2x2")
    step = json.loads(report.as_json(found, EXPERIMENT))["steps"][0]
    # Two devices of 128 images and 81.9 GB share the chip's 900 GB/s and 32 GiB.
    assert (step["batch_per_chip"], step["bytes"], step["flops"]) == (256, 163.8e9, 12e12)
    assert step["roofline_estimate"]["seconds"] == pytest.approx(163.8 / 900)
    assert step["memory_share"] == 0.5


@pytest.mark.parametrize("message", [FULL, FULL_OF_TEMPORARIES])
def test_out_of_memory_is_told_with_advice(message):
    found = findings(OutOfMemory(message, 256))
    text = printed(found)
    assert "train step, 256 images a chip: DOES NOT FIT" in text
    assert "31.50G" in text
    assert "Total hbm usage" not in text  # the compiler's listing
    assert "--batch_per_chip=128" in text  # twice the memory: half the batch
    assert "config.model.compute=bfloat16" in text
    assert json.loads(report.as_json(found, EXPERIMENT))["steps"][0]["memory_share"] == 2.0


def test_a_program_larger_than_the_chip_does_not_fit():
    text = printed(findings(compiled(memory=20 * GIB)))
    assert "DOES NOT FIT: it takes 125% of the memory" in text
    assert "--batch_per_chip=200" in text  # 256 / 1.25 is 204.8


def test_a_crash_is_told():
    failed = Outcome(
        Failed("the process ended by SIGSEGV at [bold]f32[8]"), (("the compiler's own options", "SIGSEGV"),), None
    )
    text = printed(findings(lambda job: failed))
    assert "train step: NOT COMPILED" in text
    assert "the process ended by SIGSEGV at [bold]f32[8]" in text
    assert "--batch_per_chip" not in text


def test_a_refusal_is_a_fault_of_the_config():
    with pytest.raises(ConfigError, match="too small"):
        findings(Refused("config.model: too small"))


def test_the_largest_batch():
    def compile_one(job):
        batch = job.batch_per_chip or 256
        memory = GIB + batch * GIB // 32  # 1 + b / 32 <= 16: 480
        return Outcome(compiled(batch=batch, memory=memory), (), None)

    text = printed(findings(compile_one, largest=True))
    assert "largest batch that fits the train step: 480 images a chip, 100% of the memory; 488 do not" in text
