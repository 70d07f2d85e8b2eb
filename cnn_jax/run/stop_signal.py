"""Signals that stop this program: at once, or while it trains at the next safe point of the loop."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from types import FrameType, TracebackType
from typing import NoReturn

from cnn_jax.run.exit_codes import STOPPED

_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class StopSignal:
    """Records the first signal; a second SIGINT raises KeyboardInterrupt at once.

    Attributes:
      received: Name of the signal; None before the first one.
    """

    def __init__(self) -> None:
        self.received: str | None = None
        self._previous: dict[signal.Signals, object] = {}

    def __enter__(self) -> StopSignal:
        if threading.current_thread() is threading.main_thread():  # only there may handlers be set
            for number in _obeyed():
                self._previous[number] = signal.signal(number, self._note)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)  # type: ignore[arg-type]

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.received == "SIGINT" and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.received = signal.Signals(number).name


def exit_on_signals() -> None:
    """From now on a signal ends this process at once, with the exit code of a stopped run, unless a StopSignal is open.

    Every file is written whole or not at all, so that nothing has to be cleaned up.
    """
    for number in _obeyed():
        signal.signal(number, lambda number, frame: leave(signal.Signals(number).name))


def leave(name: str) -> NoReturn:
    """Ends this process at once, and says why; threads and libraries that wait for something cannot hinder it.

    Args:
      name: Name of the signal that stops it.
    """
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):  # a stream may be closed, or be writing at this moment
            if stream.isatty():
                stream.write("\x1b[?25h")  # shows the cursor, which a progress bar has hidden
            stream.flush()
    with contextlib.suppress(OSError):
        os.write(2, f"stopped by {name}; what is saved is kept, and the same command continues\n".encode())
    os._exit(STOPPED)


def _obeyed() -> list[signal.Signals]:
    """The signals that stop this program; SIGHUP not if whoever started it has turned it off, as nohup does."""
    return [number for number in _SIGNALS if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN]
