"""Jobs for the compiling process and its answers, exchanged as JSON so that a crash of the process is contained."""

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
      classes: Number of classes.
      topology: Topology as text, for `topology.parse`.
      program: "train" for the training step, "eval" for the evaluation of one batch.
      batch_per_chip: Images per chip; None divides the config's batch among all chips.
      options: Compiler options, in addition to the package's own.
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
    """Memory of one device while the program runs, in bytes.

    Attributes:
      arguments: State before the step, and the batch.
      outputs: Results that do not reuse the memory of arguments.
      temporaries: Intermediate values, such as maps kept for the gradients.
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
    """Costs of a compiled program; figures are per device.

    Attributes:
      device_kind: The device's `jax.Device.device_kind`.
      devices: Number of devices that share a batch.
      batch: Images per device.
      device_memory: Bytes that a program may use; None if the device is not attached.
      memory: Memory by kind.
      flops: Floating-point operations of the program.
      traffic: Bytes moved to and from memory, without on-chip memory.
      counted: Bytes that instructions access in any memory, by the compiler's count; None without a count.
      collectives: Collective operations in program order.
      model_flops: Two per multiply-add of the network and, in training, of its gradients.
      fillings: Use of the matrix unit by each layer's forward pass; empty for devices without one.
      seconds: Compile time, in seconds.
      gpu: Further costs of a GPU program; None for other devices.
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
    """The config, or its combination with the devices, is not legal; `message` says why."""

    message: str
    kind: Literal["refused"] = "refused"


@dataclasses.dataclass(frozen=True)
class OutOfMemory:
    """The program does not fit into memory.

    Attributes:
      message: Message of the compiler.
      batch: Images per device.
    """

    message: str
    batch: int
    kind: Literal["out of memory"] = "out of memory"


@dataclasses.dataclass(frozen=True)
class Failed:
    """The compiler failed, or its process died; `message` has the details."""

    message: str
    kind: Literal["failed"] = "failed"


Answer = Compiled | Refused | OutOfMemory | Failed

JOB: TypeAdapter[Job] = TypeAdapter(Job)
ANSWER: TypeAdapter[Answer] = TypeAdapter(Annotated[Answer, Field(discriminator="kind")])
