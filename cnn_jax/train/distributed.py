"""Coordination of a run's processes, each with its own devices."""

from __future__ import annotations

from collections.abc import Callable

import jax
import numpy as np
from jax.experimental import multihost_utils


class OtherProcessFailed(Exception):
    """The first process failed at a task that all depend on; its own message says why."""


def is_first() -> bool:
    """Returns whether this is the first process, which writes the run's files."""
    return jax.process_index() == 0


def any_process(*conditions: bool) -> tuple[bool, ...]:
    """Returns for each condition whether it holds in any process; a collective operation."""
    if jax.process_count() == 1:
        return conditions
    gathered = multihost_utils.process_allgather(np.array(conditions))
    return tuple(bool(each) for each in gathered.any(axis=0))


def max_over_processes(value: float) -> float:
    """Returns the maximum of all processes' values; a collective operation."""
    return value if jax.process_count() == 1 else float(multihost_utils.process_allgather(np.float32(value)).max())


def on_first(action: Callable[[], object]) -> None:
    """Calls a function in the first process, while the others wait for it.

    Raises:
      OtherProcessFailed: In the other processes, if the function fails. The first process raises its exception.
    """
    failure = None
    if is_first():
        try:
            action()
        except Exception as error:  # the other processes must learn of any failure
            failure = error
    (failed,) = any_process(failure is not None)
    if failure is not None:
        raise failure
    if failed:
        raise OtherProcessFailed("the first process of this run failed; its own message says why")
