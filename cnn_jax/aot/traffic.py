"""Bytes that a compiled program moves to and from a chip's memory, read from its text.

The compiler's own count of bytes takes what its instructions read and write, wherever that lies. A TPU's program keeps
many arrays in the chip's own vector memory, and fetches others into it ahead of time: these it counts three times.
"""

from __future__ import annotations

from cnn_jax import hlo
from cnn_jax.hlo import Instruction, Module, Shape

_MOVES_NOTHING = {"parameter", "constant", "get-tuple-element", "tuple", "bitcast", "after-all", "partition-id"}
_RUNS = {"while", "conditional", "call", "async-start"}  # what they call is counted by its own instructions


def off_chip(module: Module, slices_in_fusions: bool = False) -> int:
    """Bytes that a program reads from and writes to the memory, at the most.

    An instruction reads its operands and writes its results; a slice reads as much as it gives. What a loop
    repeats counts once, as in the compiler's count.

    Args:
      module: The compiled program, for one device.
      slices_in_fusions: Whether an operand of which a fusion reads only slices counts by these. GPU programs slice the
        arrays that an exchange has joined in as many fusions.

    Returns:
      The sum over the instructions that the entry computation, and the loops in it, run.
    """
    total, open_, seen = 0, [module.entry], set()
    while open_:
        name = open_.pop()
        if name in seen:
            continue
        seen.add(name)
        instructions = module.computations.get(name, [])
        results = {each.name: each.shapes for each in instructions}
        for instruction in instructions:
            if instruction.opcode in _RUNS:
                open_ += instruction.called
            elif instruction.opcode not in _MOVES_NOTHING and not instruction.opcode.endswith("-done"):
                total += _moved(instruction, results)
                total -= _unread(instruction, results, module) if slices_in_fusions else 0
    return total


def _unread(instruction: Instruction, results: dict[str, tuple[Shape, ...]], module: Module) -> int:
    """Bytes of a fusion's operands that none of its slices reads."""
    if instruction.opcode != "fusion":
        return 0
    inside = module.computations.get(instruction.called[0], [])
    readers, total = hlo.users(inside), 0
    for parameter in inside:
        slices = readers.get(parameter.name, [])
        if parameter.opcode == "parameter" and slices and all(each.opcode == "slice" for each in slices):
            read = sum(shape.bytes for each in slices for shape in each.shapes)
            total += max(0, sum(shape.bytes for shape in parameter.shapes) - read)
    return total


def _moved(instruction: Instruction, results: dict[str, tuple[Shape, ...]]) -> int:
    operands = [shape for operand in instruction.operands for shape in results.get(operand, ())]
    written = list(instruction.shapes)
    if instruction.opcode in ("copy-start", "slice-start"):  # (to, from, ...) and ((from), to, ...)
        written = written[:1] if instruction.opcode == "copy-start" else written[1:2]
    elif instruction.opcode.endswith("-start"):
        written = written[-len(operands) :]
    if instruction.opcode in ("slice", "dynamic-slice", "slice-start"):
        size = sum(shape.bytes for shape in written)
        return size * (not operands[0].on_chip) + _off_chip(written)
    return _off_chip(operands) + _off_chip(written)


def _off_chip(shapes: list[Shape]) -> int:
    return sum(shape.bytes for shape in shapes if not shape.on_chip)
