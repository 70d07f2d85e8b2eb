"""What the operations of a compiled program do: read from its text, as XLA writes it."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator
from typing import Literal

Kind = Literal[
    "convolutions and matrix products",
    "pooling",
    "normalisation",
    "elementwise and sums",
    "copies and layout",
    "batches, metrics and optimizer",
    "communication",
    "unknown",
]
PRODUCTS: Kind = "convolutions and matrix products"
POOLING: Kind = "pooling"
NORMALISATION: Kind = "normalisation"
ELEMENTWISE: Kind = "elementwise and sums"
COPIES: Kind = "copies and layout"
OUTSIDE: Kind = "batches, metrics and optimizer"
COMMUNICATION: Kind = "communication"
UNKNOWN: Kind = "unknown"

# What ops calls its work in the program (`jax.named_scope`).
_SCOPES: dict[str, Kind] = {"pooling": POOLING, "normalisation": NORMALISATION}
_COMMUNICATES = ("all-reduce", "all-gather", "all-to-all", "reduce-scatter", "collective-", "send", "recv")
_MOVES = {
    *("bitcast", "broadcast", "concatenate", "constant", "copy", "copy-start", "copy-done", "dynamic-slice"),
    *("dynamic-update-slice", "gather", "get-tuple-element", "iota", "pad", "parameter", "reshape", "reverse"),
    *("slice", "transpose", "tuple"),
}
_LIBRARY_PRODUCT = re.compile(r"\$conv|gemm|matmul|dot", re.IGNORECASE)
# They run other operations, which are counted themselves.
CONTAINERS = {"while", "conditional", "call", "async-start", "async-done"}

_COMPUTATION = re.compile(r"^(?:ENTRY )?%?([\w.\-]+) \(.*\{$")
_INSTRUCTION = re.compile(r"^\s+(ROOT )?%?([\w.\-]+) = .*? ([a-z][a-z0-9\-]*)\(")
_CALLS = re.compile(r"(?:calls|to_apply)=%?([\w.\-]+)")
_NAME = re.compile(r'op_name="([^"]*)"')
_TARGET = re.compile(r'custom_call_target="([^"]*)"')


@dataclasses.dataclass(frozen=True)
class Instruction:
    """One instruction of a program.

    Attributes:
      opcode: as XLA names it.
      source: where it comes from, as JAX names it: functions, modules and scopes, joined by slashes; may be empty.
      calls: the computation that a fusion runs; empty where there is none.
      target: the library's function that a custom call calls; empty where there is none.
    """

    opcode: str
    source: str
    calls: str
    target: str

    @property
    def multiplies(self) -> bool:
        """Whether it is a convolution or a matrix product."""
        return self.opcode in ("dot", "convolution") or bool(_LIBRARY_PRODUCT.search(self.target))


@dataclasses.dataclass(frozen=True)
class Program:
    """A compiled program.

    Attributes:
      name: of the module.
      instructions: by name.
      computations: names of their instructions, in order, by the computation's name.
    """

    name: str
    instructions: dict[str, Instruction]
    computations: dict[str, list[str]]

    def inside(self, name: str) -> Iterator[Instruction]:
        """An instruction, and those of the computations that it calls."""
        instruction = self.instructions[name]
        yield instruction
        for inner in self.computations.get(instruction.calls, ()):
            yield from self.inside(inner)

    def source(self, name: str) -> str:
        """Where an operation comes from: the way through functions, modules and scopes; may be empty."""
        known = self.instructions.get(name)
        way = known.source if known else ""
        # What is around every operation of the loop's body says nothing.
        return re.sub(r"^jit\(\w+\)/(?:while/body/)?(?:closed_call/)?", "", way)

    def kind(self, name: str) -> Kind:
        """What sort of work an operation is.

        A fusion with a product in it is one, whatever else it does. Otherwise scopes decide, then whether the way from
        JAX leads through the network, and in the end what is done with the numbers.
        """
        if name not in self.instructions:
            return UNKNOWN
        parts = list(self.inside(name))
        if any(part.opcode.startswith(_COMMUNICATES) for part in parts):
            return COMMUNICATION
        products = [part for part in parts if part.multiplies]
        if products:
            return next((kind for part in products if (kind := _scoped(part.source))), PRODUCTS)
        source = parts[0].source or next((part.source for part in parts if part.source), "")
        if (kind := _scoped(source)) is not None:
            return kind
        if source.startswith("jit(") and "jvp(" not in source:
            return OUTSIDE
        moved = all(part.opcode in _MOVES or part.opcode == "fusion" for part in parts)
        return COPIES if moved else ELEMENTWISE


def read(text: str) -> Program:
    """Reads a compiled program.

    Args:
      text: as `jax.stages.Compiled.as_text` gives it.

    Returns:
      Its instructions and computations.
    """
    head = re.match(r"HloModule ([\w.\-]+)", text)
    instructions: dict[str, Instruction] = {}
    computations: dict[str, list[str]] = {}
    current: list[str] = []
    for line in text.splitlines():
        if (begins := _COMPUTATION.match(line)) is not None:
            current = computations.setdefault(begins[1], [])
        elif (found := _INSTRUCTION.match(line)) is not None:
            calls, source, target = (pattern.search(line) for pattern in (_CALLS, _NAME, _TARGET))
            instructions[found[2]] = Instruction(
                found[3], source[1] if source else "", calls[1] if calls else "", target[1] if target else ""
            )
            current.append(found[2])
    return Program(head[1] if head else "", instructions, computations)


def _scoped(source: str) -> Kind | None:
    """The kind that the innermost of our scopes names; None where there is none."""
    for part in reversed(re.split(r"[/()]", source)):
        if part in _SCOPES:
            return _SCOPES[part]
    return None
