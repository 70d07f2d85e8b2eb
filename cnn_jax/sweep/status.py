"""How a trial stands: the content of its status.json, written by the engines and read by the tables."""

from __future__ import annotations

from typing import Literal

import pydantic
from pydantic.dataclasses import dataclass

Standing = Literal["done", "failed", "infeasible", "running", "stopped", "waiting"]
STANDINGS: tuple[Standing, ...] = ("done", "failed", "infeasible", "running", "stopped", "waiting")
DONE, FAILED, INFEASIBLE, RUNNING, STOPPED, WAITING = STANDINGS


@dataclass(frozen=True, config=pydantic.ConfigDict(extra="ignore"))
class Status:
    """How a trial stands.

    Attributes:
      status: one of STANDINGS.
      fault: of a failed one: refused, crash, killed, hang, memory or diverged.
      message: what went wrong, in a line or two.
      log_tail: last lines of its log.
      exit_code, signal: how its process ended by itself.
      attempts: how often it was begun.
      seconds: of all attempts together.
      engine, host, cores: what ran it, where, on how many processor cores.
    """

    status: Standing = "waiting"
    fault: str | None = None
    message: str = ""
    log_tail: tuple[str, ...] = ()
    exit_code: int | None = None
    signal: str | None = None
    attempts: int = 0
    seconds: pydantic.FiniteFloat = 0.0
    engine: str = ""
    host: str = ""
    cores: int | None = None
