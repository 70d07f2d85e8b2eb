"""Silence for Orbax's threads, whose errors are raised where a checkpoint is saved or read as well."""

from __future__ import annotations

import functools
import logging
import sys
import warnings
from typing import Any


@functools.cache
def silence() -> None:
    """From now on Orbax's threads print no tracebacks of errors that the caller gets too."""
    logging.getLogger("absl").addFilter(lambda record: "/orbax/" not in record.pathname)
    logging.getLogger("asyncio").setLevel(logging.CRITICAL)  # the event loops are Orbax's
    warnings.filterwarnings("ignore", "coroutine .* was never awaited", RuntimeWarning)
    others = sys.unraisablehook

    def hook(unraisable: Any) -> None:
        # TensorStore, which is no Python code, calls a loop that Orbax has closed after an error.
        trace = unraisable.exc_traceback
        if trace is None or not trace.tb_frame.f_code.co_name.endswith("call_soon_threadsafe"):  # asyncio's or uvloop's
            others(unraisable)

    sys.unraisablehook = hook
