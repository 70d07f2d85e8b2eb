"""Counts FLOPs of convolutions and matrix products in a compiled program, both XLA's and NVIDIA's libraries'."""

from __future__ import annotations

import math
import re

from cnn_jax.hlo import Instruction, Module, Shape

_LABELS = re.compile(r"dim_labels=(\w+)_(\w+)->(\w+)")
_TARGET = re.compile(r'custom_call_target="([^"]*)"')


def is_convolution(instruction: Instruction) -> bool:
    """Returns whether an instruction is a convolution of cuDNN or XLA."""
    return instruction.opcode == "convolution" or "$conv" in target(instruction)


def flops(instruction: Instruction, module: Module, results: dict[str, tuple[Shape, ...]]) -> float:
    """Counts the FLOPs of an instruction's products, including those in a fusion.

    Args:
      instruction: Instruction of a computation.
      module: Program that it belongs to.
      results: Shapes of the computation's results by name.
    """
    total = own_flops(instruction, results)
    for name in instruction.called if instruction.opcode == "fusion" else ():
        inside = module.computations.get(name, [])
        shapes = {each.name: each.shapes for each in inside}
        total += sum(flops(each, module, shapes) for each in inside)
    return total


def own_flops(instruction: Instruction, results: dict[str, tuple[Shape, ...]]) -> float:
    """Counts two FLOPs per multiply-add of one instruction; a convolution's padding counts too."""
    operands = [results[name][0] for name in instruction.operands if results.get(name)]
    if is_convolution(instruction) and len(operands) > 1:
        _, kernel_labels, _ = labels(instruction)
        library, result = target(instruction), instruction.shapes[0]
        if library.endswith("BackwardFilter"):
            maps, kernel = operands[1], result
        else:
            maps, kernel = (operands[0] if library.endswith("BackwardInput") else result), operands[1]
        return 2.0 * maps.entries * kernel.entries / kernel.sides[kernel_labels.index("o")]
    if (axes := _contracted(instruction)) is not None and operands:
        return 2.0 * instruction.shapes[0].entries * math.prod(operands[0].sides[axis] for axis in axes)
    return 0.0


def _contracted(instruction: Instruction) -> tuple[int, ...] | None:
    """Returns the contracted axes of a matrix product's first operand; None for other instructions."""
    if instruction.opcode == "dot":
        found = re.search(r"lhs_contracting_dims=\{([\d,]*)\}", instruction.attributes)
    elif "cublas" in target(instruction):
        found = re.search(r'"lhs_contracting_dimensions":\[([\d",]*)\]', instruction.attributes)
    else:
        return None
    return tuple(int(axis) for axis in found[1].replace('"', "").split(",") if axis) if found else ()


def labels(instruction: Instruction) -> tuple[str, str, str]:
    """Returns XLA's axis labels of a convolution's maps, kernel and result: b, f, i, o and digits."""
    found = _LABELS.search(instruction.attributes)
    assert found is not None, instruction.name
    return found[1], found[2], found[3]


def target(instruction: Instruction) -> str:
    """Returns the library function that an instruction calls; empty for other instructions."""
    found = _TARGET.search(instruction.attributes) if instruction.opcode == "custom-call" else None
    return found[1] if found else ""
