"""Names of the ways to compute a convolution, which config fields and array functions share. A leaf."""

from __future__ import annotations

from typing import Literal

Lowering = Literal["auto", "xla", "patches", "winograd", "space_to_depth"]
