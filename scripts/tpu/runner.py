"""Runs commands, or prints them: the one place where processes start and where a dry run differs."""

from __future__ import annotations

import dataclasses
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from typing import IO, TextIO

from scripts.tpu import commands

# What the cloud says, and what helps. The first that fits is told.
_HINTS = (
    (r"quota", "ask for quota (docs/tpu.md, step 2), take a smaller slice or another zone, or try --spot"),
    (r"has not been used in project|SERVICE_DISABLED", "gcloud services enable tpu.googleapis.com"),
    (r"auth login|reauth|credentials", "gcloud auth login"),
    (r"PERMISSION_DENIED|does not have permission|403", "you need the roles of docs/tpu.md, step 3"),
    (r"no more capacity|stockout|insufficient capacity|RESOURCE_EXHAUSTED", "try another zone, later, or --spot"),
    (
        r"accelerator ?type.* not found|is not available in zone",
        "gcloud compute tpus accelerator-types list --zone=ZONE",
    ),
)


@dataclasses.dataclass(frozen=True)
class Done:
    """Outcome of a command: its exit code (124 for one that was ended at its time limit) and what it printed."""

    code: int
    out: str
    err: str = ""


class StepError(Exception):
    """A step failed; the message is which, why and what helps."""


class Interrupted(BaseException):
    """A signal asks to end."""


class Runner:
    """Runs commands one after the other, each in a session of its own, so that a signal reaches this program alone."""

    dry = False

    def __init__(self) -> None:
        self._holds = False  # while a command starts or ends
        self._held: Interrupted | None = None

    def interrupt(self, signal: Interrupted) -> None:
        """Raises what a signal asks for; while a command starts or ends, once that is done, so that none is left."""
        if self._holds:
            self._held = signal
        else:
            raise signal

    def run(
        self, command: Sequence[str], seconds: float, *, assume: str = "", show: bool = False, quiet: bool = False
    ) -> Done:
        """Runs a command to its end, or to its time limit; a signal ends it and all that it started.

        Args:
          command: its words.
          seconds: the time limit.
          assume: what it prints in a dry run.
          show: pass on what it prints, as it comes.
          quiet: keep its messages and faults back, where they are expected.
        """
        self._holds = True
        try:
            return self._to_its_end(command, seconds, show, quiet)
        finally:
            self._let_go()

    def _to_its_end(self, command: Sequence[str], seconds: float, show: bool, quiet: bool) -> Done:
        """Runs a command; a signal interrupts nothing but the waiting for its end."""
        process = subprocess.Popen(
            list(command),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        taken: list[list[bytes]] = [[], []]
        threads = [
            threading.Thread(target=_take, args=(pipe, kept, sink), daemon=True)
            for pipe, kept, sink in zip(
                (process.stdout, process.stderr),
                taken,
                (sys.stdout if show else None, None if quiet else sys.stderr),
                strict=True,
            )
        ]
        for thread in threads:
            thread.start()
        try:
            self._let_go()
            code = process.wait(seconds)
        except subprocess.TimeoutExpired:
            code = 124
        finally:
            self._holds = True
            _end(process)
            for thread in threads:
                thread.join(5)
        out, err = (b"".join(kept).decode(errors="surrogateescape") for kept in taken)
        return Done(code, out, err)

    def _let_go(self) -> None:
        """Lets signals interrupt again, and raises what one has asked for meanwhile."""
        self._holds = False
        held, self._held = self._held, None
        if held is not None:
            raise held

    def must(self, step: str, command: Sequence[str], seconds: float, *, assume: str = "", show: bool = False) -> Done:
        """Runs a command that has to succeed.

        Raises:
          StepError: it did not.
        """
        done = self.run(command, seconds, assume=assume, show=show)
        if done.code:
            raise self.fault(step, command, seconds, done)
        return done

    def fault(self, step: str, command: Sequence[str], seconds: float, done: Done, *, tell: bool = False) -> StepError:
        """Describes a command that failed; with `tell`, also what it printed, where that was kept back."""
        how = f"took over {seconds:.0f} s" if done.code == 124 else f"exit code {done.code}"
        hints = [hint for pattern, hint in _HINTS if re.search(pattern, done.err, re.IGNORECASE)]
        help_ = f"\n  this may help: {hints[0]}" if hints else ""
        told = f"\n{done.err.strip()}" if tell else ""
        return StepError(f"{step} failed ({how}):\n{commands.text(list(command))}{told}{help_}")

    def say(self, text: str) -> None:
        """Tells what goes on."""
        print(text, file=sys.stderr, flush=True)

    def pause(self, seconds: float) -> None:
        """Waits."""
        time.sleep(seconds)


class DryRunner(Runner):
    """Prints each command, and goes on as if all was well."""

    dry = True

    def run(
        self, command: Sequence[str], seconds: float, *, assume: str = "", show: bool = False, quiet: bool = False
    ) -> Done:
        """Prints the command."""
        del seconds, show, quiet
        print(commands.text(list(command)))
        return Done(0, assume)

    def say(self, text: str) -> None:
        """Prints it as a comment."""
        print(f"# {text}")

    def pause(self, seconds: float) -> None:
        """Does not wait."""


def _take(pipe: IO[bytes], kept: list[bytes], sink: TextIO | None) -> None:
    """Keeps what comes through a pipe, and passes it on; a reader that is gone stops nothing."""
    while chunk := os.read(pipe.fileno(), 65536):
        kept.append(chunk)
        if sink is not None:
            try:
                sink.buffer.write(chunk)
                sink.buffer.flush()
            except (OSError, ValueError):
                sink = None
    pipe.close()


def _end(process: subprocess.Popen[bytes]) -> None:
    """Ends a command and what it started: gcloud's ssh is a process of its own."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, number)
        except (ProcessLookupError, PermissionError):
            break
        try:
            process.wait(2)
        except subprocess.TimeoutExpired:
            continue
    process.wait()
