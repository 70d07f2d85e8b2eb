"""Several processes of one run, each with its own devices: how they join, and how they agree."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import jax
import numpy as np
from jax.experimental import multihost_utils

from cnn_jax.config_parse import ConfigError
from cnn_jax.run.process_group import ProcessGroup, fault, started_by

T = TypeVar("T")


class OtherProcessFailed(Exception):
    """The first process failed at what all depend on; its own message says why."""


def join(group: ProcessGroup) -> None:
    """Joins the processes of a run; call it before any use of a device.

    Args:
      group: The processes.

    Raises:
      ConfigError: Where the launcher's variables do not say enough, or the processes cannot be joined.
    """
    given: dict[str, Any] = {}
    if group.how == "explicit":
        given = {
            "coordinator_address": group.coordinator,
            "num_processes": group.count,
            "process_id": group.number,
            "cluster_detection_method": "deactivate",
        }
    elif group.how == "off" or started_by() is None:
        return
    elif (wrong := fault()) is not None:
        raise ConfigError([wrong])
    try:
        jax.distributed.initialize(**given, heartbeat_timeout_seconds=group.heartbeat_timeout)
    except (ValueError, RuntimeError) as error:
        what = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ConfigError([f"--distributed: the processes of this run cannot be joined: {what}"]) from error


def has_several() -> bool:
    """Whether this run has more than one process."""
    return jax.process_count() > 1


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
    if not has_several():
        return conditions
    gathered = multihost_utils.process_allgather(np.array(conditions))
    return tuple(bool(each) for each in gathered.any(axis=0))


def max_over_processes(value: float) -> float:
    """Gives the greatest value of all processes; all processes must call it at the same place.

    Args:
      value: Value of this process.
    """
    return float(multihost_utils.process_allgather(np.float32(value)).max()) if has_several() else value


def on_first(action: Callable[[], T]) -> T | None:
    """Calls a function in the first process, while the others wait for it.

    Args:
      action: Function without arguments.

    Returns:
      In the first process the function's result; None in the others.

    Raises:
      OtherProcessFailed: In the others, where the function fails; in the first, whatever the function raised.
    """
    result, failure = None, None
    if is_first():
        try:
            result = action()
        except Exception as error:  # the others must hear of it, whatever it is
            failure = error
    (failed,) = any_process(failure is not None)
    if failure is not None:
        raise failure
    if failed:
        raise OtherProcessFailed("the first process of this run could not go on; its own message says why")
    return result
