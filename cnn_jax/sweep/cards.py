"""NVIDIA GPUs of this machine, shared out among the jobs of a sweep."""

from __future__ import annotations

import os
from collections.abc import Mapping

_VISIBLE = "CUDA_VISIBLE_DEVICES"
_FRACTION = "XLA_PYTHON_CLIENT_MEM_FRACTION"
# Settings by which a user has chosen how memory is reserved.
_CHOSEN = (
    _FRACTION,
    "XLA_CLIENT_MEM_FRACTION",
    "XLA_PYTHON_CLIENT_PREALLOCATE",
    "XLA_PYTHON_CLIENT_ALLOCATOR",
)
_RESERVED = 0.75  # of a card's memory, by one JAX process


def share(jobs: int, devices: int, environment: Mapping[str, str] | None = None) -> list[dict[str, str]]:
    """Gives every job one GPU, of those that this process may use, and its share of the memory.

    JAX reserves three fourths of a card's memory for a process. Jobs on one card get equal parts of these, unless the
    user has chosen otherwise.

    Args:
      jobs: Number of jobs that run at a time.
      devices: Number of GPUs that JAX finds here.
      environment: Environment variables; defaults to those of this process. CUDA_VISIBLE_DEVICES limits the GPUs to
        those that it names, by numbers or by UUIDs, and is kept in its order.

    Returns:
      The environment variables of each job.
    """
    environment = os.environ if environment is None else environment
    named = [name.strip() for name in environment.get(_VISIBLE, "").split(",") if name.strip()]
    names = named[:devices] if len(named) >= devices else [str(number) for number in range(devices)]
    chosen = any(name in environment for name in _CHOSEN)
    shares = []
    for job in range(jobs):
        card = job % devices
        on_card = len(range(card, jobs, devices))
        memory = {} if chosen or on_card == 1 else {_FRACTION: f"{_RESERVED / on_card:.3f}"}
        shares.append({_VISIBLE: names[card], **memory})
    return shares
