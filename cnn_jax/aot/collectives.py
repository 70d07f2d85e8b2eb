"""Collective operations of a compiled program: their kinds, counts and sizes."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

from cnn_jax import hlo
from cnn_jax.aot import products
from cnn_jax.hlo import Instruction, Module

KINDS = ("all-reduce", "reduce-scatter", "all-gather", "all-to-all", "collective-permute", "collective-broadcast")
GRADIENTS, STATISTICS, NUMBERS = "gradients", "statistics", "numbers"


@dataclasses.dataclass(frozen=True)
class Collective:
    """One collective operation.

    Attributes:
      operation: A member of KINDS.
      bytes: Size of its results on one device.
      carries: Kinds of its results: "gradients", on which only the new state depends; "statistics" of the batch, on
        which later convolutions or collectives depend, forward or backward; "numbers", such as the loss.
      work: Floating-point operations of the products scheduled between its start and its end; None for a synchronous
        operation.
    """

    operation: str
    bytes: int
    carries: tuple[str, ...]
    work: float | None = None


def read(module: Module) -> tuple[Collective, ...]:
    """Finds the collective operations of a program.

    Args:
      module: The compiled program.

    Returns:
      The operations in program order. Asynchronous operations, and those in loops, count once.
    """
    found = []
    for instructions in module.computations.values():
        readers = hlo.users(instructions)
        for instruction in instructions:
            if (operation := _kind(instruction)) is not None:
                each = _collective(operation, instruction, module, readers)
                if instruction.opcode.endswith("-start"):
                    each = dataclasses.replace(each, work=_work(instruction, instructions, module))
                found.append(each)
    return tuple(found)


def totals(operations: Iterable[Collective]) -> dict[tuple[str, str], tuple[int, int]]:
    """Returns (count, bytes) by operation and kinds of results, such as ("all-reduce", "gradients + numbers")."""
    sums: dict[tuple[str, str], tuple[int, int]] = {}
    for each in operations:
        key = each.operation, " + ".join(each.carries)
        count, size = sums.get(key, (0, 0))
        sums[key] = count + 1, size + each.bytes
    return sums


def _work(start: Instruction, instructions: list[Instruction], module: Module) -> float:
    """Returns the FLOPs of the products between a collective's start and its end in the schedule."""
    results = {each.name: each.shapes for each in instructions}
    first, total = instructions.index(start), 0.0
    for each in instructions[first + 1 :]:
        if each.opcode.endswith("-done") and start.name in each.operands:
            break
        total += products.flops(each, module, results)
    return total


def _kind(instruction: Instruction) -> str | None:
    operation = instruction.opcode.removesuffix("-start")
    return operation if operation in KINDS else None


def _collective(
    operation: str, instruction: Instruction, module: Module, readers: dict[str, list[Instruction]]
) -> Collective:
    shapes = instruction.shapes
    if instruction.opcode in ("all-gather-start", "collective-permute-start"):  # their results include the operands
        count = len(instruction.operands)
        shapes = shapes[count : 2 * count]
    users = _users(instruction, readers)
    carries = set()
    for number, shape in enumerate(shapes):
        readers_of_shape = [user for user in users if len(shapes) == 1 or user.index in (None, number)]
        if shape.entries == 1:
            carries.add(NUMBERS)
        elif _is_needed(readers_of_shape, module, readers) or _is_forward(instruction):
            carries.add(STATISTICS)
        else:
            carries.add(GRADIENTS)
    return Collective(operation, sum(shape.bytes for shape in shapes), tuple(sorted(carries)))


def _users(instruction: Instruction, readers: dict[str, list[Instruction]]) -> list[Instruction]:
    """Returns the instructions that read the results, also of an asynchronous operation."""
    users = []
    for user in readers.get(instruction.name, []):
        users += _users(user, readers) if user.opcode.endswith("-done") else [user]
    return users


def _is_needed(users: list[Instruction], module: Module, readers: dict[str, list[Instruction]]) -> bool:
    later = hlo.downstream(users, readers)
    return any(module.multiplies(instruction) or _kind(instruction) is not None for instruction in later)


def _is_forward(instruction: Instruction) -> bool:
    return "jvp(" in instruction.op_name and "transpose(" not in instruction.op_name
