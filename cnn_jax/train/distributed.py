"""Several processes of one run, each with its own devices: how they agree."""

from __future__ import annotations

from collections.abc import Callable

import jax
import numpy as np
from jax.experimental import multihost_utils


class OtherProcessFailed(Exception):
    """The first process failed at what all depend on; its own message says why."""


def is_first() -> bool:
    """Whether this is the process that writes."""
    return jax.process_index() == 0


def any_process(*conditions: bool) -> tuple[bool, ...]:
    """Tells for each condition whether it holds in any process; all processes must call it at the same place.

    Args:
      conditions: Conditions of this process.

    Returns:
      As many answers, the same in every process.
    """
    if jax.process_count() == 1:
        return conditions
    gathered = multihost_utils.process_allgather(np.array(conditions))
    return tuple(bool(each) for each in gathered.any(axis=0))


def max_over_processes(value: float) -> float:
    """Gives the greatest value of all processes; all processes must call it at the same place.

    Args:
      value: Value of this process.
    """
    return value if jax.process_count() == 1 else float(multihost_utils.process_allgather(np.float32(value)).max())


def on_first(action: Callable[[], object]) -> None:
    """Calls a function in the first process, while the others wait for it.

    Args:
      action: Function without arguments.

    Raises:
      OtherProcessFailed: In the others, where the function fails; in the first, whatever the function raised.
    """
    failure = None
    if is_first():
        try:
            action()
        except Exception as error:  # the others must hear of it, whatever it is
            failure = error
    (failed,) = any_process(failure is not None)
    if failure is not None:
        raise failure
    if failed:
        raise OtherProcessFailed("the first process of this run could not go on; its own message says why")
