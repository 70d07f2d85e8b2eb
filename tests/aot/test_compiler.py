"""The compiling process: its crash, the fallbacks, and a real program for 8 devices."""

import dataclasses
import json
import sys

import pytest

from cnn_jax.aot import child, collectives, compiler, lowering
from cnn_jax.aot.job import Compiled, Failed, Job, OutOfMemory, Refused
from cnn_jax.config.parsing import ConfigError, parse

CRASHES = "print('in a pass', flush=True); import os, signal; os.kill(os.getpid(), signal.SIGSEGV)"
# Answers with the options that it was given, and dies without any.
CRASHES_WITHOUT_OPTIONS = f"""
import json, sys
options = json.load(open(sys.argv[1]))["options"]
if not options:
    {CRASHES}
json.dump({{"kind": "out of memory", "message": json.dumps(options), "batch": 7}}, open(sys.argv[2], "w"))
"""
SMALL = {"model": {"features": (4,), "pooling": "max", "dense": ()}}


def job(topology, **model):
    experiment = parse({"model": SMALL["model"] | model})
    return Job(experiment, (10, 10, 1), 3, topology, "train", 2)


def python(program):
    return (sys.executable, "-c", program)


def test_a_crash_is_told_with_its_signal_and_last_words():
    told = []
    outcome = compiler.compile_program(job("v6e:4x4"), told.append, python(CRASHES))
    assert isinstance(outcome.answer, Failed)
    assert "SIGSEGV" in outcome.answer.message
    assert "in a pass" in outcome.answer.message
    assert outcome.fallback is None
    # the compiler's own options, then each fallback, of which the last is the answer
    assert len(told) == 1 + len(compiler.FALLBACKS)
    assert len(outcome.failures) == len(compiler.FALLBACKS)
    assert all("SIGSEGV" in message for _, message in outcome.failures)


def test_a_fallback_after_a_crash():
    outcome = compiler.compile_program(job("v6e:4x4"), lambda text: None, python(CRASHES_WITHOUT_OPTIONS))
    assert outcome.answer == OutOfMemory(json.dumps(compiler.FALLBACKS[0].options), 7)
    assert outcome.fallback == compiler.FALLBACKS[0].meaning
    assert len(outcome.failures) == 1


def test_other_platforms_have_no_fallback():
    told = []
    compiler.compile_program(job("cpu"), told.append, python(CRASHES))
    assert len(told) == 1


def test_exchanges_of_a_real_program_for_8_devices():
    answer = compiler.compile_program(job("cpu:8", norm="batch"), pytest.fail).answer
    assert isinstance(answer, Compiled)
    assert (answer.devices, answer.batch) == (8, 2)
    # The norm of 4 maps: their means, then their variances; backward the sums that are its scale's and bias's gradients
    # too. Gradients: a kernel of 3 x 3 x 4 and a dense layer of 64 + 1 by 3. Numbers: one, such as the loss, with these
    # in one exchange each, and the metrics' three counts.
    sizes = {"statistics": 4 * 4 + 4 * 8, "numbers + statistics": 4 * 4 + 4, "gradients + numbers": 4 * (36 + 195) + 4}
    found = collectives.totals(answer.collectives)
    assert {carries: size for (_, carries), (_, size) in found.items()} == sizes | {"numbers": 4 * 3}
    assert {operation for operation, _ in found} == {"all-reduce"}


def test_a_config_that_does_not_work_is_refused():
    answer = child.answer(job("cpu", kernel_size=11))
    assert isinstance(answer, Refused)
    assert "config.model" in answer.message


def test_a_batch_that_the_chips_cannot_share_is_refused():
    asked = dataclasses.replace(job("v3:2x2"), batch_per_chip=3)
    with pytest.raises(ConfigError, match=r"--batch_per_chip=3: a chip of v3:2x2 has 2 devices; use 4"):
        lowering.batch_of(asked, devices=8, per_chip=2)
    asked = dataclasses.replace(asked, batch_per_chip=None)
    with pytest.raises(ConfigError, match=r"batch_size=32 does not divide over 5 devices; .* or .*--batch_per_chip"):
        lowering.batch_of(asked, devices=5, per_chip=1)
    assert lowering.batch_of(dataclasses.replace(asked, program="eval"), devices=512, per_chip=2) == 1
