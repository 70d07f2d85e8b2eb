"""Parses the HLO text of a compiled program into computations and instructions."""

from __future__ import annotations

import collections
import dataclasses
import math
import re
from collections.abc import Iterator

_COMPUTATION = re.compile(r"^(ENTRY )?%?([\w.-]+) \(.*\{$")
_INSTRUCTION = re.compile(r"^\s+(?:ROOT )?%?([\w.-]+) = (.*?) ([a-z][\w-]*)\((.*)$")
_NAME = re.compile(r"%([\w.-]+)")
_CALLED = re.compile(r"(?:calls|to_apply|body|condition|branch_computations|called_computations)=(\{[^}]*\}|%[\w.-]+)")
_SHAPE = re.compile(r"\b(pred|[a-z]+\d+\w*)\[([\d,]*)\](?:\{([^}]*)\})?")
_ON_CHIP = re.compile(r"S\([1-46]\)")  # memory spaces of a TPU's vector and scalar memories; 5 is the host's
_BITS = re.compile(r"[a-z]+(\d+)")
_LIBRARY_PRODUCT = re.compile(r'custom_call_target="[^"]*(?:\$conv|gemm|matmul|dot)', re.IGNORECASE)


@dataclasses.dataclass(frozen=True)
class Shape:
    """Shape and layout of one array.

    Attributes:
      entries: Number of entries.
      bytes: Size in bytes.
      on_chip: Whether it is in on-chip memory.
      dtype: XLA's name of the type, such as "bf16".
      sides: Length of each axis.
      order: Axes from minor to major.
    """

    entries: int
    bytes: int
    on_chip: bool = False
    dtype: str = ""
    sides: tuple[int, ...] = ()
    order: tuple[int, ...] = ()


@dataclasses.dataclass(frozen=True)
class Instruction:
    """One instruction of a computation.

    Attributes:
      name: Name of the instruction in its computation.
      opcode: Operation, such as `fusion` or `all-reduce`.
      shapes: Shapes of its results, with tuples flattened.
      operands: Names of the instructions that it reads.
      called: Names of the computations that it calls.
      multiplies: Whether it is a convolution or matrix product itself, possibly as a library call.
      index: Index of a get-tuple-element.
      op_name: Origin in the Python program; empty if unknown.
      attributes: Text after the operands.
    """

    name: str
    opcode: str
    shapes: tuple[Shape, ...]
    operands: tuple[str, ...]
    called: tuple[str, ...]
    multiplies: bool
    index: int | None
    op_name: str
    attributes: str = ""


class Module:
    """A compiled program.

    Attributes:
      name: Name of the program.
      computations: Instructions of each computation, by its name.
      entry: Name of the entry computation.
    """

    def __init__(self, text: str) -> None:
        """Parses the text from `jax.stages.Compiled.as_text`."""
        head = re.match(r"HloModule ([\w.-]+)", text)
        self.name = head[1] if head else ""
        self.computations: dict[str, list[Instruction]] = {}
        self.entry = ""
        instructions: list[Instruction] = []
        for line in text.splitlines():
            if (head := _COMPUTATION.match(line)) is not None:
                instructions = self.computations.setdefault(head[2], [])
                self.entry = head[2] if head[1] else self.entry
            elif (found := _INSTRUCTION.match(line)) is not None:
                instructions.append(_instruction(*found.groups()))
        self._multiplies: dict[str, bool] = {}

    def multiplies(self, instruction: Instruction) -> bool:
        """Returns whether an instruction is, or calls, a convolution or matrix product."""
        return instruction.multiplies or any(map(self._has_product, instruction.called))

    def _has_product(self, computation: str) -> bool:
        if computation not in self._multiplies:
            self._multiplies[computation] = any(map(self.multiplies, self.computations.get(computation, ())))
        return self._multiplies[computation]


def users(instructions: list[Instruction]) -> dict[str, list[Instruction]]:
    """Maps each instruction's name to the instructions of its computation that read it."""
    readers: dict[str, list[Instruction]] = collections.defaultdict(list)
    for instruction in instructions:
        for operand in instruction.operands:
            readers[operand].append(instruction)
    return readers


def downstream(starts: list[Instruction], readers: dict[str, list[Instruction]]) -> Iterator[Instruction]:
    """Yields the given instructions of a computation and all that depend on them."""
    visited, stack = set(), list(starts)
    while stack:
        instruction = stack.pop()
        if instruction.name not in visited:
            visited.add(instruction.name)
            stack += readers.get(instruction.name, [])
            yield instruction


def _instruction(name: str, kind: str, opcode: str, rest: str) -> Instruction:
    end = _closing(rest)
    attributes = rest[end:]
    called = tuple(each for group in _CALLED.findall(attributes) for each in _NAME.findall(group))
    index, op_name = re.search(r"\bindex=(\d+)", attributes), re.search(r'op_name="([^"]*)"', attributes)
    return Instruction(
        name,
        opcode,
        tuple(_shape(*each) for each in _SHAPE.findall(kind)),
        tuple(_NAME.findall(rest[:end])),
        called,
        opcode in ("convolution", "dot") or _LIBRARY_PRODUCT.search(attributes) is not None,
        int(index[1]) if index else None,
        op_name[1] if op_name else "",
        attributes,
    )


def _closing(text: str) -> int:
    """Returns the index of the closing parenthesis of a text inside an open one."""
    depth = 1
    for index, letter in enumerate(text):
        depth += (letter == "(") - (letter == ")")
        if not depth:
            return index
    return len(text)


def _shape(kind: str, sides: str, layout: str) -> Shape:
    lengths = tuple(int(side) for side in sides.split(",") if side)
    entries = math.prod(lengths)
    bits = _BITS.match(kind)
    size = math.ceil(entries * (int(bits[1]) if bits else 8) / 8)
    order = tuple(int(axis) for axis in layout.partition(":")[0].split(",") if axis)
    return Shape(entries, size, _ON_CHIP.search(layout) is not None, kind, lengths, order)
