"""Questions to a compiling process and its answers: both as JSON, so that a crash takes nothing along."""

from __future__ import annotations

import dataclasses
from typing import Annotated, Literal

from pydantic import Field, TypeAdapter

from cnn_jax.aot.collectives import Collective
from cnn_jax.aot.gpu_program import GpuProgram
from cnn_jax.aot.matrix_unit import Filling
from cnn_jax.config import Experiment

Program = Literal["train", "eval"]


@dataclasses.dataclass(frozen=True)
class Job:
    """One program to compile.

    Attributes:
      experiment: The config.
      image_shape: (height, width, channels) in pixels.
      classes: How many there are.
      topology: As `topology.parse` reads it.
      program: The training step, or the evaluation of one batch.
      batch_per_chip: Images of one chip; None spreads the config's batch over all chips.
      options: Compiler options, beside those that this package always gives.
    """

    experiment: Experiment
    image_shape: tuple[int, int, int]
    classes: int
    topology: str
    program: Program
    batch_per_chip: int | None = None
    options: dict[str, str | float] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Memory:
    """Bytes of one device while the program runs.

    Attributes:
      arguments: The state before the step, and the batch.
      outputs: The state after it, where it does not take the place of the arguments.
      temporaries: Maps kept for the gradients, and all else in between.
      code: The program.
    """

    arguments: int
    outputs: int
    temporaries: int
    code: int

    @property
    def total(self) -> int:
        return self.arguments + self.outputs + self.temporaries + self.code


# More than ten fields: one for each figure of the report.
@dataclasses.dataclass(frozen=True)
class Compiled:
    """Compiler's account of a program; figures are for one device.

    Attributes:
      device_kind: The driver's name.
      devices: Number of devices that share a batch.
      batch: Images of one device.
      device_memory: Bytes that a program may use; None where the device is not here to ask.
      memory: Bytes of each kind.
      flops: Floating-point operations of the program.
      traffic: Bytes to and from the memory, without what stays on the chip.
      counted: Bytes that instructions read and write, by the compiler's count, wherever these lie; None where it has no
        count.
      collectives: Exchanges between the devices, in the program's order.
      model_flops: Two for each multiply-add of the network and, in training, of its gradients.
      fillings: How full each layer's forward product leaves the matrix unit, 0 to 1; empty for devices that have none.
      seconds: Compile time, in seconds.
      gpu: Further account of a program for GPUs; None for other devices.
    """

    device_kind: str
    devices: int
    batch: int
    device_memory: int | None
    memory: Memory
    flops: float
    traffic: float
    counted: float | None
    collectives: tuple[Collective, ...]
    model_flops: int
    fillings: tuple[Filling, ...]
    seconds: float
    gpu: GpuProgram | None = None
    kind: Literal["compiled"] = "compiled"


@dataclasses.dataclass(frozen=True)
class Refused:
    """The config does not work, on whatever device; `message` says why."""

    message: str
    kind: Literal["refused"] = "refused"


@dataclasses.dataclass(frozen=True)
class OutOfMemory:
    """The program does not fit.

    Attributes:
      message: The compiler's.
      batch: Images of one device.
    """

    message: str
    batch: int
    kind: Literal["out of memory"] = "out of memory"


@dataclasses.dataclass(frozen=True)
class Failed:
    """The compiler gave up, or its process died; `message` is what is left of it."""

    message: str
    kind: Literal["failed"] = "failed"


Answer = Compiled | Refused | OutOfMemory | Failed

JOB: TypeAdapter[Job] = TypeAdapter(Job)
ANSWER: TypeAdapter[Answer] = TypeAdapter(Annotated[Answer, Field(discriminator="kind")])
