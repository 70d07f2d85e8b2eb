"""Processes that see several devices where there is one processor."""

import os
from collections.abc import Mapping


def environment(count: int, base: Mapping[str, str] | None = None) -> dict[str, str]:
    """An environment with so many CPU devices; this process's, or another one."""
    base = os.environ if base is None else base
    flags = f"{base.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count={count}"
    return {**base, "XLA_FLAGS": flags.strip()}
