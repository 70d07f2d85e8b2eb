"""Costs of a program compiled for GPUs, from its text and its list of launches, as XLA has no cost analysis."""

from __future__ import annotations

import collections
import dataclasses
import re
from collections.abc import Iterator
from pathlib import Path

from cnn_jax.aot import products
from cnn_jax.hlo import Instruction, Module, Shape

_LAUNCH = re.compile(r"^( *)\d+: k(\w+)")
_NOT_LAUNCHED = {"CommandBuffer", "AsyncStart", "AsyncDone", "AllReduceStart", "AllReduceDone", "Sequential"}
_CONTROL = {"While", "Conditional", "Call"}
_AXES = {"b": "N", "f": "C", "0": "H", "1": "W"}
_RUNS = {"while", "conditional", "call", "async-start"}


@dataclasses.dataclass(frozen=True)
class Launches:
    """Number of launches in one step.

    Attributes:
      kernels: Kernels, library calls, memory copies and fills, including those in CUDA graphs.
      graphs: CUDA graphs.
      alone: Kernels outside CUDA graphs, which are launched individually.
    """

    kernels: int
    graphs: int
    alone: int


@dataclasses.dataclass(frozen=True)
class GpuProgram:
    """Costs of a GPU program; the body of a loop counts once.

    Attributes:
      flops: Floating-point operations of its convolutions and matrix products.
      launches: Kernels and CUDA graphs; None if the compiler wrote no list.
      convolutions: Number of convolutions by type and layout of the feature maps, such as ("bf16 NHWC", 158).
      narrow: Number of half-precision convolutions of fewer than four input channels.
      grouped: Number of grouped convolutions.
      rearranged: Number of copies and transposes of arrays.
      rearranged_bytes: Bytes that these write.
    """

    flops: float
    launches: Launches | None
    convolutions: tuple[tuple[str, int], ...]
    narrow: int
    grouped: int
    rearranged: int
    rearranged_bytes: int


def read(module: Module, launches: Launches | None = None) -> GpuProgram:
    """Computes the costs of a compiled program, given its launches from `read_launches`."""
    flops, layouts = 0.0, collections.Counter[str]()
    narrow = grouped = rearranged = rearranged_bytes = 0
    scheduled = set(_reached(module))
    for name, instructions in module.computations.items():
        results = {each.name: each.shapes for each in instructions}
        for each in instructions:
            flops += products.own_flops(each, results)
            if products.is_convolution(each):
                maps, labels = _maps(each, results)
                layouts[f"{maps.dtype} {_layout(maps, labels)}"] += 1
                narrow += maps.sides[labels.index("f")] < 4 and maps.dtype in ("bf16", "f16")
                grouped += "feature_group_count" in each.attributes
        if name in scheduled:
            for each in filter(lambda one: _rearranges(one, module), instructions):
                rearranged += 1
                rearranged_bytes += sum(shape.bytes for shape in each.shapes)
    return GpuProgram(flops, launches, tuple(layouts.most_common()), narrow, grouped, rearranged, rearranged_bytes)


def read_launches(dump: Path) -> Launches | None:
    """Reads the launches of a program from XLA's dump folder (`xla_dump_to`); None if it has no list of them."""
    files = sorted(dump.glob("*.thunk_sequence_after_thunk_passes.txt"))
    return count_launches(files[-1].read_text(encoding="utf-8")) if files else None


def count_launches(text: str) -> Launches:
    """Counts the launches in XLA's list of thunks, where indented lines belong to the graph or loop above them."""
    kernels = graphs = alone = 0
    graph_indent: int | None = None
    for line in text.splitlines():
        if (found := _LAUNCH.match(line)) is None:
            continue
        indent, kind = len(found[1]), found[2]
        if graph_indent is not None and indent <= graph_indent:
            graph_indent = None
        if kind == "CommandBuffer":
            graphs += 1
            graph_indent = indent
        elif kind not in _NOT_LAUNCHED | _CONTROL:
            kernels += 1
            alone += graph_indent is None
    return Launches(kernels, graphs, alone)


def _maps(instruction: Instruction, results: dict[str, tuple[Shape, ...]]) -> tuple[Shape, str]:
    """Returns the shape of a convolution's input feature maps, and the labels of their axes."""
    labels = products.labels(instruction)[0]
    if products.target(instruction).endswith("BackwardInput"):
        return instruction.shapes[0], labels
    return results[instruction.operands[0]][0], labels


def _layout(shape: Shape, labels: str) -> str:
    return "".join(_AXES.get(labels[axis], labels[axis]) for axis in reversed(shape.order))


def _rearranges(instruction: Instruction, module: Module) -> bool:
    """Returns whether an instruction copies or transposes an array, with or without a cast."""
    if instruction.opcode in ("copy", "transpose"):
        return True
    return instruction.opcode == "fusion" and any(
        each.opcode in ("copy", "transpose")
        for name in instruction.called
        for each in module.computations.get(name, [])
    )


def _reached(module: Module) -> Iterator[str]:
    """Yields the entry computation and those that its loops and branches run."""
    visited, stack = set(), [module.entry]
    while stack:
        name = stack.pop()
        if name not in visited:
            visited.add(name)
            yield name
            for each in module.computations.get(name, []):
                if each.opcode in _RUNS:
                    stack += each.called
