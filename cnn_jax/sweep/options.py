"""Options of a sweep or a search from its command line."""

from __future__ import annotations

import dataclasses


# More than ten fields: one for each flag.
@dataclasses.dataclass(frozen=True)
class Options:
    """Options of a sweep or a search; the fields are the flags of the same names.

    Attributes:
      engine: "local", or "ray".
      address: Address of a Ray cluster, as --address gives it; None for RAY_ADDRESS, else a Ray of this sweep's own.
      cpus, gpus, tpus: Resources that Ray sets aside for one process of a trial.
      accelerator: Ray's name of the accelerator that a trial's nodes must have; None for any.
      processes: Processes of one trial, for Ray.
      jobs: Trials at a time; None chooses by cores and accelerators.
      time_limit: Minutes of one attempt at a trial, or at those that are trained together; None: any time.
      memory_limit: GiB of one trial, or of those that are trained together; None: a fair share of nine tenths of the
        machine's.
      retry_failed: Whether trials that have failed before run again.
      vectorize: "off", or "seeds": one program trains the seeds of a point.
    """

    engine: str = "local"
    address: str | None = None
    cpus: int = 1
    gpus: int = 0
    tpus: int = 0
    accelerator: str | None = None
    processes: int = 1
    jobs: int | None = None
    time_limit: float | None = None
    memory_limit: float | None = None
    retry_failed: bool = False
    vectorize: str = "off"
