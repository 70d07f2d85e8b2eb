"""Processes that see several devices where there is one processor."""

import os


def environment(count: int) -> dict[str, str]:
    """This process's environment, with so many CPU devices."""
    flags = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count={count}"
    return {**os.environ, "XLA_FLAGS": flags.strip()}
