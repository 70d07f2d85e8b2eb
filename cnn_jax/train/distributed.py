"""Several processes of one run, each with its own devices: how they join, and how they agree."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import jax
import numpy as np
from jax.experimental import multihost_utils

from cnn_jax.run.process_group import ProcessGroup, started_by

T = TypeVar("T")

_LOST_AFTER = 30  # seconds without a sign of life from a process


class OtherProcessFailed(Exception):
    """The first process could not do what all depend on; it has said why."""


def join(group: ProcessGroup) -> None:
    """Joins the processes of a run; must come before any use of a device.

    Args:
      group: which they are.
    """
    if group.how == "explicit":
        jax.distributed.initialize(
            coordinator_address=group.coordinator,
            num_processes=group.count,
            process_id=group.number,
            cluster_detection_method="deactivate",
            heartbeat_timeout_seconds=_LOST_AFTER,
        )
    elif group.how == "auto" and started_by() is not None:
        jax.distributed.initialize(heartbeat_timeout_seconds=_LOST_AFTER)


def are_many() -> bool:
    """Whether this run has more than one process."""
    return jax.process_count() > 1


def is_first() -> bool:
    """Whether this is the process that writes."""
    return jax.process_index() == 0


def any_wishes(*wishes: bool) -> tuple[bool, ...]:
    """For each wish, whether any process has it; all processes must ask at the same place.

    Args:
      wishes: of this process.

    Returns:
      As many answers, the same in every process.
    """
    if not are_many():
        return wishes
    gathered = multihost_utils.process_allgather(np.array(wishes))
    return tuple(bool(each) for each in gathered.any(axis=0))


def greatest(value: float) -> float:
    """The greatest of all processes' values; all processes must ask at the same place.

    Args:
      value: of this process.

    Returns:
      The greatest, the same in every process.
    """
    return float(multihost_utils.process_allgather(np.float32(value)).max()) if are_many() else value


def on_first(action: Callable[[], T]) -> T | None:
    """Lets the first process do something, and the others wait for it.

    Args:
      action: what it does.

    Returns:
      In the first process, what the action gave; None in the others.

    Raises:
      OtherProcessFailed: in the others, where the action fails; in the first, what the action raised.
    """
    result, failure = None, None
    if is_first():
        try:
            result = action()
        except Exception as error:  # the others must hear of it, whatever it is
            failure = error
    (failed,) = any_wishes(failure is not None)
    if failure is not None:
        raise failure
    if failed:
        raise OtherProcessFailed("the first process of this run could not go on; its own message says why")
    return result
