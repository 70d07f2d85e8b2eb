"""Collectives of a compiled program: kind, count and size of all that devices send each other."""

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
    """One exchange between the devices.

    Attributes:
      operation: A member of KINDS.
      bytes: Size of its results on one device.
      carries: "gradients", which nothing but the new state depends on; "statistics" of the batch, on which later
        convolutions and exchanges depend, forward or backward; "numbers", such as the loss; or several of them.
      work: Floating-point operations of the products that the program's schedule has between start and end; None where
        they are one instruction.
    """

    operation: str
    bytes: int
    carries: tuple[str, ...]
    work: float | None = None


def read(module: Module) -> tuple[Collective, ...]:
    """Finds every collective operation of a program.

    Args:
      module: The compiled program.

    Returns:
      In the program's order. What starts and ends apart counts once; what a loop repeats counts once too.
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


def totals(of_program: Iterable[Collective]) -> dict[tuple[str, str], tuple[int, int]]:
    """Counts and bytes by operation and by what it carries, such as ("all-reduce", "gradients + numbers")."""
    sums: dict[tuple[str, str], tuple[int, int]] = {}
    for each in of_program:
        key = each.operation, " + ".join(each.carries)
        count, size = sums.get(key, (0, 0))
        sums[key] = count + 1, size + each.bytes
    return sums


def _work(start: Instruction, instructions: list[Instruction], module: Module) -> float:
    """Arithmetic of the products between the start of an exchange and its end, in the order of the text."""
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
    if instruction.opcode in ("all-gather-start", "collective-permute-start"):  # these list the operands first
        count = len(instruction.operands)
        shapes = shapes[count : 2 * count]
    users = _users(instruction, readers)
    carries = set()
    for number, shape in enumerate(shapes):
        mine = [user for user in users if len(shapes) == 1 or user.index in (None, number)]
        if shape.entries == 1:
            carries.add(NUMBERS)
        elif _is_needed(mine, module, readers) or _is_forward(instruction):
            carries.add(STATISTICS)
        else:
            carries.add(GRADIENTS)
    return Collective(operation, sum(shape.bytes for shape in shapes), tuple(sorted(carries)))


def _users(instruction: Instruction, readers: dict[str, list[Instruction]]) -> list[Instruction]:
    """Who reads the results, where the operation ends apart from its start too."""
    users = []
    for user in readers.get(instruction.name, []):
        users += _users(user, readers) if user.opcode.endswith("-done") else [user]
    return users


def _is_needed(users: list[Instruction], module: Module, readers: dict[str, list[Instruction]]) -> bool:
    later = hlo.downstream(users, readers)
    return any(module.multiplies(instruction) or _kind(instruction) is not None for instruction in later)


def _is_forward(instruction: Instruction) -> bool:
    return "jvp(" in instruction.op_name and "transpose(" not in instruction.op_name
