"""Status of a trial: the content of its status.json, written by the engines and read by the tables."""

from __future__ import annotations

from typing import Annotated, Literal

import pydantic
from pydantic.dataclasses import dataclass

from cnn_jax.run.columns import Column

StatusName = Literal["done", "failed", "infeasible", "paused", "running", "stopped", "waiting"]
STATUSES: tuple[StatusName, ...] = ("done", "failed", "infeasible", "paused", "running", "stopped", "waiting")
DONE, FAILED, INFEASIBLE, PAUSED, RUNNING, STOPPED, WAITING = STATUSES
# Faults of a trial's files, beside those of `faults`.
DAMAGED, UNREADABLE, CHANGED = "damaged", "unreadable", "changed"
ENDED = "the sweep ended before the trial did"  # message of a trial that nothing runs any more


def _joined(lines: tuple[str, ...]) -> str | None:
    return "\n".join(lines) or None


@dataclass(frozen=True, config=pydantic.ConfigDict(extra="ignore"))
class Outcome:
    """Status of a trial.

    Attributes:
      status: One of STATUSES.
      fault: Kind of fault of a failed trial: refused, crash, killed, hang, memory, diverged, damaged, unreadable or
        changed.
      message: Description of the fault, in a line or two; of an infeasible trial, the reason.
      log_tail: Last lines of the trial's log.
    """

    status: Annotated[StatusName, Column("status")] = "waiting"
    fault: Annotated[str | None, Column("fault")] = None
    message: Annotated[str, Column("message")] = ""
    log_tail: Annotated[tuple[str, ...], Column("log_tail", text=_joined)] = ()


@dataclass(frozen=True, config=pydantic.ConfigDict(extra="ignore"))
class Status(Outcome):
    """Content of a trial's status.json.

    Attributes:
      exit_code: Exit code of its process, if the process ended by itself.
      signal: Signal that ended its process.
      attempts: Number of times that it was started.
      seconds: Wall time of all attempts together.
      engine: Name of the engine that ran it.
      host: Name of the host that it ran on.
      cores: Number of processor cores that it ran on.
      result_sha256: SHA-256 of result.json when the trial ended; None if it did not, and in files of older versions.
    """

    exit_code: int | None = None
    signal: str | None = None
    attempts: Annotated[int, Column("attempts", "attempts", "{:,}")] = 0
    seconds: Annotated[pydantic.FiniteFloat, Column("total_seconds")] = 0.0
    engine: str = ""
    host: Annotated[str, Column("host", "host")] = ""
    cores: int | None = None
    result_sha256: str | None = None
