"""Names of the convolution lowerings. Imports nothing, so that both the config and `ops` can use it."""

from __future__ import annotations

from typing import Literal

Lowering = Literal["auto", "xla", "patches", "winograd", "space_to_depth"]
