"""Where JAX works."""

import jax
import turn


def device() -> turn.Device:
    """The first device, and its peak of memory where it has its own."""
    first = jax.local_devices()[0]
    held = first.memory_stats() if first.platform != "cpu" else None
    return turn.Device(first.platform, first.device_kind, held["peak_bytes_in_use"] if held else None)
