"""Classifies the operations of a compiled program by kind of work."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Literal

from cnn_jax import hlo
from cnn_jax.hlo import Instruction

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

# Scopes that ops sets in the program (`jax.named_scope`).
_SCOPES: dict[str, Kind] = {"pooling": POOLING, "normalisation": NORMALISATION}
_COMMUNICATES = ("all-reduce", "all-gather", "all-to-all", "reduce-scatter", "collective-", "send", "recv")
_MOVES = {
    *("bitcast", "broadcast", "concatenate", "constant", "copy", "copy-start", "copy-done", "dynamic-slice"),
    *("dynamic-update-slice", "gather", "get-tuple-element", "iota", "pad", "parameter", "reshape", "reverse"),
    *("slice", "transpose", "tuple"),
}
# Operations that run others, which are counted themselves.
CONTAINERS = {"while", "conditional", "call", "async-start", "async-done"}


class Program:
    """A compiled program.

    Attributes:
      name: Name of the module.
      instructions: Instructions by name.
    """

    def __init__(self, module: hlo.Module):
        """Indexes the instructions by name, which is unique in a module."""
        self.name = module.name
        self.instructions = {each.name: each for listed in module.computations.values() for each in listed}
        self._module = module

    def _with_called(self, instruction: Instruction) -> Iterator[Instruction]:
        """Yields an instruction and those of the computations that it calls."""
        yield instruction
        for computation in instruction.called:
            for inner in self._module.computations.get(computation, ()):
                yield from self._with_called(inner)

    def source(self, name: str) -> str:
        """Returns the path of functions, modules and scopes that an operation comes from; may be empty."""
        known = self.instructions.get(name)
        way = known.op_name if known else ""
        # Drop the prefix that all operations of the loop's body share.
        return re.sub(r"^jit\(\w+\)/(?:while/body/)?(?:closed_call/)?", "", way)

    def kind(self, name: str) -> Kind:
        """Returns the kind of work of an operation.

        A fusion that contains a product counts as a product. Otherwise the named scope decides, then whether the
        operation belongs to the network, and last its opcode.
        """
        if name not in self.instructions:
            return UNKNOWN
        parts = list(self._with_called(self.instructions[name]))
        if any(part.opcode.startswith(_COMMUNICATES) for part in parts):
            return COMMUNICATION
        products = [part for part in parts if part.multiplies]
        if products:
            return next((kind for part in products if (kind := _scope_kind(part.op_name))), PRODUCTS)
        source = parts[0].op_name or next((part.op_name for part in parts if part.op_name), "")
        if (kind := _scope_kind(source)) is not None:
            return kind
        if source.startswith("jit(") and "jvp(" not in source:
            return OUTSIDE
        moved = all(part.opcode in _MOVES or part.opcode == "fusion" for part in parts)
        return COPIES if moved else ELEMENTWISE


def read(text: str) -> Program:
    """Reads a compiled program.

    Args:
      text: Text that `jax.stages.Compiled.as_text` returns.

    Returns:
      Its instructions and computations.
    """
    return Program(hlo.Module(text))


def _scope_kind(source: str) -> Kind | None:
    """Returns the kind of the innermost known scope; None without one."""
    for part in reversed(re.split(r"[/()]", source)):
        if part in _SCOPES:
            return _SCOPES[part]
    return None
