"""The text of a compiled program: its instructions, what they run, and who reads their results."""

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
_ON_CHIP = re.compile(r"S\([1-46]\)")  # a TPU's vector and scalar memories; 5 is the host's
_BITS = re.compile(r"[a-z]+(\d+)")
_LIBRARY_PRODUCT = re.compile(r'custom_call_target="[^"]*(?:\$conv|gemm|matmul|dot)', re.IGNORECASE)


@dataclasses.dataclass(frozen=True)
class Shape:
    """Shape and size of one array.

    Attributes:
      entries: How many.
      bytes: Size of all arrays.
      on_chip: Whether it lies in a small memory on the chip itself.
      dtype: XLA's name of the type, such as "bf16".
      sides: Length of each axis.
      order: Axes in memory, the one whose neighbours lie side by side first.
    """

    entries: int
    bytes: int
    on_chip: bool = False
    dtype: str = ""
    sides: tuple[int, ...] = ()
    order: tuple[int, ...] = ()


@dataclasses.dataclass(frozen=True)
class Instruction:
    """One line of a computation.

    Attributes:
      name: Name of the instruction in its computation.
      opcode: Its operation, such as `fusion` or `all-reduce`.
      shapes: Shapes of its results, tuples flattened.
      operands: Names of the instructions that it reads.
      called: Computations that it runs.
      multiplies: Whether it is itself a convolution or a product of matrices, by a library's call or not.
      index: Index of a get-tuple-element.
      op_name: Where it comes from in the Python program; empty where the compiler does not say.
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
    """A program's computations.

    Attributes:
      name: Name of the program.
      computations: The instructions of each by its name, in order.
      entry: Name of the first.
    """

    def __init__(self, text: str) -> None:
        """Reads a program as XLA prints it (`jax.stages.Compiled.as_text`)."""
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
        """Whether an instruction is a convolution or a product of matrices, or runs one."""
        return instruction.multiplies or any(map(self._has_product, instruction.called))

    def _has_product(self, computation: str) -> bool:
        if computation not in self._multiplies:
            self._multiplies[computation] = any(map(self.multiplies, self.computations.get(computation, ())))
        return self._multiplies[computation]


def users(instructions: list[Instruction]) -> dict[str, list[Instruction]]:
    """Who reads each instruction of a computation."""
    readers: dict[str, list[Instruction]] = collections.defaultdict(list)
    for instruction in instructions:
        for operand in instruction.operands:
            readers[operand].append(instruction)
    return readers


def downstream(starts: list[Instruction], readers: dict[str, list[Instruction]]) -> Iterator[Instruction]:
    """All that depends on some instructions of a computation, themselves first."""
    seen, open_ = set(), list(starts)
    while open_:
        instruction = open_.pop()
        if instruction.name not in seen:
            seen.add(instruction.name)
            open_ += readers.get(instruction.name, [])
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
    """Where the parenthesis that is open at the start is closed."""
    depth = 1
    for place, letter in enumerate(text):
        depth += (letter == "(") - (letter == ")")
        if not depth:
            return place
    return len(text)


def _shape(kind: str, sides: str, layout: str) -> Shape:
    lengths = tuple(int(side) for side in sides.split(",") if side)
    entries = math.prod(lengths)
    bits = _BITS.match(kind)
    size = math.ceil(entries * (int(bits[1]) if bits else 8) / 8)
    order = tuple(int(axis) for axis in layout.partition(":")[0].split(",") if axis)
    return Shape(entries, size, _ON_CHIP.search(layout) is not None, kind, lengths, order)
