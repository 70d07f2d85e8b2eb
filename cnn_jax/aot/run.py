"""Implements `compile`: compiles both steps, then searches for the largest batch if asked to."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from cnn_jax import chips
from cnn_jax.aot import images, roofline, search
from cnn_jax.aot.compiler import Outcome, compile_program
from cnn_jax.aot.finding import Step, memory_share
from cnn_jax.aot.job import Compiled, Job, Program, Refused
from cnn_jax.aot.request import CompileRequest
from cnn_jax.aot.search import Tried
from cnn_jax.chips import Chip
from cnn_jax.config import Experiment
from cnn_jax.config.parsing import ConfigError

_FINE = 64  # from this many images per chip on, the largest batch is found to a multiple of 8
_PROGRAMS: tuple[Program, ...] = ("train", "eval")


@dataclasses.dataclass(frozen=True)
class Findings:
    """Results for one config and one topology.

    Attributes:
      topology: Value of --topology.
      chip: Published peaks; None if unknown.
      image_shape: (height, width, channels) in pixels.
      classes: Number of classes.
      steps: Training step, then evaluation step.
      tried: Training batches tried in the search for the largest one; empty without a search.
    """

    topology: str
    chip: Chip | None
    image_shape: tuple[int, int, int]
    classes: int
    steps: tuple[Step, ...]
    tried: tuple[Tried, ...]


def run(
    experiment: Experiment,
    request: CompileRequest,
    report: Callable[[str], None],
    compile_one: Callable[[Job, Callable[[str], None]], Outcome] = compile_program,
) -> Findings:
    """Compiles the steps one after the other.

    Args:
      experiment: The resolved config.
      request: Parsed flags.
      report: Receives lines of progress.
      compile_one: Compiles one program.

    Returns:
      The findings.

    Raises:
      ConfigError: If the config and the chips are not compatible.
    """
    shape, classes = images.describe(experiment.data, request.image_shape, request.classes)
    chip = request.topology.chip

    def step(program: Program, batch: int | None) -> Step:
        size = "the config's batch" if batch is None else f"{batch} images a chip"
        report(f"compiling the {program} step for {request.topology.text}, {size}")
        outcome = compile_one(Job(experiment, shape, classes, request.topology.text, program, batch), report)
        if isinstance(outcome.answer, Refused):
            raise ConfigError([outcome.answer.message])
        return _step(program, outcome, chip, experiment)

    steps = tuple(step(program, request.batch_per_chip) for program in _PROGRAMS)
    tried: tuple[Tried, ...] = ()
    if request.largest_batch and (first := steps[0]).batch_per_chip is not None:
        known = {first.batch_per_chip: first}

        def attempt(batch: int) -> Tried:
            found = known.get(batch) or step("train", batch)
            return Tried(batch, found.fits, found.memory_share)

        per_chip = chip.devices if chip else 1
        unit = per_chip * (8 if first.batch_per_chip >= _FINE else 1)
        tried = search.largest(attempt, first.batch_per_chip, unit)
    return Findings(request.topology.text, steps[0].chip or chip, shape, classes, steps, tried)


def _step(program: Program, outcome: Outcome, chip: Chip | None, experiment: Experiment) -> Step:
    """Combines the compiler's results with the chip's peaks."""
    answer = outcome.answer
    estimate = None
    if isinstance(answer, Compiled):
        chip = chip or chips.of_kind(answer.device_kind)
        if chip is not None:
            each = chip.devices
            peak = chips.peak(experiment, chip.kinds[0])
            estimate = roofline.estimate(
                chip,
                each * answer.flops,
                each * answer.traffic,
                each * answer.model_flops,
                each * answer.batch,
                None if peak is None else each * peak,
            )
    batch = getattr(answer, "batch", None)
    return Step(
        program=program,
        outcome=outcome,
        chip=chip,
        batch_per_chip=None if batch is None else batch * (chip.devices if chip else 1),
        memory_share=memory_share(answer, chip),
        roofline=estimate,
    )
