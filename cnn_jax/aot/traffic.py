"""Counts the bytes that a compiled program moves to and from a chip's memory, from its text.

The compiler's own count includes accesses to any memory. TPU programs keep many arrays in on-chip vector memory, and
prefetch others into it, which the compiler counts three times.
"""

from __future__ import annotations

from cnn_jax import hlo
from cnn_jax.hlo import Instruction, Module, Shape

_MOVES_NOTHING = {"parameter", "constant", "get-tuple-element", "tuple", "bitcast", "after-all", "partition-id"}
_RUNS = {"while", "conditional", "call", "async-start"}  # their bytes are those of the computations they call


def off_chip(module: Module, slices_in_fusions: bool = False) -> int:
    """Returns an upper bound on the bytes that a program reads from and writes to memory.

    An instruction reads its operands and writes its results; a slice reads only its result's size. The body of a loop
    counts once, as in the compiler's count.

    Args:
      module: The compiled program, for one device.
      slices_in_fusions: Whether to count only the slices of an operand that a fusion reads by slices alone. In GPU
        programs several fusions slice the joint result of a collective.

    Returns:
      The sum over the instructions of the entry computation and the computations that it runs.
    """
    total, stack, visited = 0, [module.entry], set()
    while stack:
        name = stack.pop()
        if name in visited:
            continue
        visited.add(name)
        instructions = module.computations.get(name, [])
        results = {each.name: each.shapes for each in instructions}
        for instruction in instructions:
            if instruction.opcode in _RUNS:
                stack += instruction.called
            elif instruction.opcode not in _MOVES_NOTHING and not instruction.opcode.endswith("-done"):
                total += _moved(instruction, results)
                total -= _unread(instruction, results, module) if slices_in_fusions else 0
    return total


def _unread(instruction: Instruction, results: dict[str, tuple[Shape, ...]], module: Module) -> int:
    """Returns the bytes of a fusion's operands that none of its slices reads."""
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
