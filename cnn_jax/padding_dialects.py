"""Padding dialects and the pixels that they add. Imports nothing, so that both the config and `ops` can use it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING, Literal

Pads = tuple[int, int]


def _no_pads(n: int, k: int, s: int, d: int) -> Pads:
    return 0, 0


def _same(n: int, k: int, s: int, d: int) -> Pads:
    total = max((-(-n // s) - 1) * s + d * (k - 1) + 1 - n, 0)
    return total // 2, total - total // 2


def _same_lower(n: int, k: int, s: int, d: int) -> Pads:
    low, high = _same(n, k, s, d)
    return high, low


def _torch(n: int, k: int, s: int, d: int) -> Pads:
    return d * (k - 1) // 2, d * (k - 1) // 2


@dataclasses.dataclass(frozen=True)
class Dialect:
    """A named padding rule.

    Attributes:
      pads: Maps (n pixels, k taps, stride s, dilation d) to the pixels added (low, high) along an axis.
      border: Mode of `numpy.pad` that fills the added pixels; "constant" is zeros. Pooling accepts zeros only.
      most: Maps an axis's n pixels to the most that can be added on a side; None is no limit.
      scales: Whether the output has ceil(n / s) pixels, so that a transposed convolution multiplies the size by s.
    """

    pads: Callable[[int, int, int, int], Pads]
    border: Literal["constant", "reflect", "symmetric", "edge", "wrap"] = "constant"
    most: Callable[[int], int] | None = None
    scales: bool = True


DIALECTS: dict[str, Dialect] = {
    "VALID": Dialect(_no_pads, scales=False),
    "SAME": Dialect(_same),
    "SAME_LOWER": Dialect(_same_lower),
    "TORCH": Dialect(_torch, scales=False),
    "REFLECT": Dialect(_same, border="reflect", most=lambda n: n - 1),
    "REPLICATE": Dialect(_same, border="edge"),
    "CIRCULAR": Dialect(_same, border="wrap", most=lambda n: n),
}
POOL_DIALECTS = tuple(name for name, dialect in DIALECTS.items() if dialect.border == "constant")

if TYPE_CHECKING:
    PaddingName = str
    PoolPaddingName = str
else:
    PaddingName = Literal[tuple(DIALECTS)]
    PoolPaddingName = Literal[POOL_DIALECTS]


def border_mode(padding: object) -> Literal["reflect", "symmetric", "edge", "wrap"] | None:
    """Returns the mode of `numpy.pad` for a dialect's name; None for zeros, an integer or explicit pads."""
    dialect = DIALECTS.get(padding) if isinstance(padding, str) else None
    return None if dialect is None or dialect.border == "constant" else dialect.border
