"""The steps that the verbs are made of; each raises StepError where it fails, with what to do."""

from __future__ import annotations

import enum
import json
import re
import time
from pathlib import Path

from scripts.tpu import commands
from scripts.tpu.arguments import RefusedError, Request
from scripts.tpu.runner import Runner, StepError

_MINUTE, _HOUR = 60.0, 3600.0
_TRIES = 5
ABSENT, ACTIVE = "absent", "ACTIVE"
_GONE = ("FAILED", "SUSPENDING", "SUSPENDED", "DELETING", ABSENT)
_MEANINGS = {
    "CREATING": "the request is being taken",
    "ACCEPTED": "in the queue; nothing bills yet",
    "WAITING_FOR_RESOURCES": "in the queue; nothing bills yet",
    "PROVISIONING": "its machines are being made",
    ACTIVE: "it is there, and bills until it is deleted",
    "FAILED": "the request could not be fulfilled",
    "SUSPENDING": "it is being taken away",
    "SUSPENDED": "it was taken away",
    "DELETING": "it is being deleted",
    ABSENT: "there is none of this name",
}


class Ending(enum.Enum):
    """How a run ended, or that it did not; the values are exit codes."""

    DONE = 0
    FAILED = 1
    REFUSED = 2
    STOPPED = 75
    RUNNING = -1
    NONE = -2


def look(request: Request, runner: Runner, assume: str = ACTIVE) -> str:
    """The slice's state: the cloud's word for it, or ABSENT. Tries again where the cloud does not answer."""
    return _look(request, runner, assume)[0]


def workers(request: Request, runner: Runner) -> Ending:
    """How the run on an active slice stands."""
    return combine(
        runner.must("looking at the workers", commands.state(request), 3 * _MINUTE, assume="worker 0 0", show=True).out
    )


def _look(request: Request, runner: Runner, assume: str) -> tuple[str, str]:
    told = json.dumps({"state": {"state": assume}})
    for again in range(_TRIES):
        done = runner.run(commands.describe(request), 2 * _MINUTE, assume=told, quiet=True)
        if done.code == 0:
            try:
                data = json.loads(done.out)["state"]
                return data["state"], data.get("failedData", {}).get("error", {}).get("message", "")
            except (ValueError, LookupError, TypeError, AttributeError):
                raise StepError(f"gcloud's answer was not understood: {done.out.strip()!r}") from None
        if re.search(r"NOT_FOUND|not found|could not be found", done.err):
            return ABSENT, ""
        if again + 1 < _TRIES and not re.search(r"PERMISSION_DENIED|auth login", done.err):
            runner.pause(request.poll_seconds)
            continue
        break
    raise runner.fault("looking at the slice", commands.describe(request), 2 * _MINUTE, done, tell=True)


def meaning(state: str) -> str:
    """A state and what it means."""
    return f"{state}: {_MEANINGS.get(state, 'a state not known here')}"


def create(request: Request, runner: Runner) -> None:
    """Asks for the slice and waits until it is there.

    Raises:
      StepError: the request failed, was taken away, or waited longer than it may.
    """
    runner.must("creating the slice", commands.create(request), 15 * _MINUTE)
    runner.say(f"every {request.poll_seconds:g} s, for {request.wait_minutes:g} min at most, until it is ACTIVE:")
    started, before = time.monotonic(), ""
    while True:
        state, message = _look(request, runner, ACTIVE)
        waited = (time.monotonic() - started) / _MINUTE
        if state != before and not runner.dry:
            runner.say(f"{waited:6.1f} min  {meaning(state)}")
        before = state
        if state == ACTIVE:
            return
        if state in _GONE:
            raise StepError(f"the slice did not come: {meaning(state)}" + (f"\n  {message}" if message else ""))
        if waited >= request.wait_minutes:
            raise StepError(
                f"the slice did not come in {request.wait_minutes:g} min, it is {state};"
                " wait longer with --wait_minutes, or try another zone or --spot"
            )
        runner.pause(request.poll_seconds)


def check_checkout(request: Request, runner: Runner) -> None:
    """Refuses a checkout whose changes, or whose experiment, would not go along."""
    if runner.dry:
        return
    if not Path("scripts/tpu/worker.sh").exists():
        raise RefusedError("not in the checkout's folder: cd to where launch.py lies")
    changed = runner.must("git status", ["git", "status", "--porcelain", "--untracked-files=no"], _MINUTE).out
    if changed:
        files = ", ".join(line[3:] for line in changed.splitlines())
        raise RefusedError(f"only what is committed goes to the slice, and these are changed: {files}; commit them")
    config = next((word.partition("=")[2] for word in request.words if word.startswith("--config=")), None)
    if config and runner.run(["git", "cat-file", "-e", f"HEAD:./{config}"], _MINUTE, quiet=True).code:
        raise RefusedError(f"--config: {config!r} is not committed, and only what is committed goes to the slice")


def install(request: Request, runner: Runner) -> None:
    """Puts the commit that is checked out on every worker, with its packages."""
    if not runner.dry:
        Path(commands.bundle_file(request)).parent.mkdir(parents=True, exist_ok=True)
    runner.must("packing the checkout", commands.bundle(request), 5 * _MINUTE)
    runner.must("copying the checkout", commands.copy(request), 20 * _MINUTE)
    runner.must("installing on every worker", commands.install(request), _HOUR, show=True)


def launch(request: Request, runner: Runner) -> None:
    """Starts launch.py on every worker."""
    runner.must("launching on every worker", commands.launch(request), 10 * _MINUTE, show=True)


def follow(request: Request, runner: Runner) -> Ending:
    """Prints worker 0's log until the run ends or the slice is gone; lost connections are made again.

    Returns:
      How it ended; STOPPED where the slice was taken away.
    """
    runner.say("worker 0's log, a minute at a time, with a look at every worker in between, until the run ends:")
    offset, lost = 0, 0
    while True:
        limit = commands.FOLLOW_SECONDS + 2 * _MINUTE
        log = runner.run(commands.follow(request, offset), limit, show=True)
        offset += len(log.out.encode(errors="surrogateescape"))
        states = runner.run(commands.state(request), 3 * _MINUTE, assume="worker 0 0")
        if log.code == 0 and states.code == 0:
            lost = 0
            ending = combine(states.out)
            if ending is not Ending.RUNNING:
                return ending
            continue
        state = look(request, runner)
        if state in _GONE:
            runner.say(meaning(state))
            return Ending.STOPPED
        lost += 1
        if lost > _TRIES:
            raise StepError(f"no connection to every worker, {lost} times in a row; the slice is {meaning(state)}")
        runner.say(f"connection lost, the slice is {state}; trying again")
        runner.pause(request.poll_seconds)


def combine(states: str) -> Ending:
    """How a run ended, from the lines of `worker.sh state`.

    A refusal is never repeated. A stop on one worker makes the others fail, so it counts more than a failure; a worker
    that knows of no run while others do is a new machine.
    """
    codes = re.findall(r"^worker \S+ (\S+)\s*$", states, re.MULTILINE)
    if not codes:
        raise StepError(f"the workers' states were not understood: {states.strip()!r}")
    if "2" in codes:
        return Ending.REFUSED
    if set(codes) == {"none"}:
        return Ending.NONE
    if {"75", "died", "none"} & set(codes):
        return Ending.STOPPED
    if set(codes) - {"0", "running"}:
        return Ending.FAILED
    return Ending.RUNNING if "running" in codes else Ending.DONE


def stop(request: Request, runner: Runner) -> None:
    """Asks launch.py on every worker to save and leave; where that fails it says so."""
    if runner.run(commands.stop(request), 2 * _MINUTE, show=True).code:
        runner.say("the workers could not be asked to stop")


def delete(request: Request, runner: Runner) -> None:
    """Gives the slice back; tries three times.

    Raises:
      StepError: it may still be there and bill; the message has the command to run by hand.
    """
    for again in range(3):
        if again:
            runner.pause(request.poll_seconds)
        done = runner.run(commands.delete(request), 30 * _MINUTE)
        if done.code == 0 or re.search(r"NOT_FOUND|not found|could not be found", done.err):
            if not runner.dry:
                runner.say(f"deleted {request.name}" if done.code == 0 else f"{request.name} is not there any more")
            return
    raise StepError(
        f"NOT DELETED: {request.name} in {request.zone} may still be there, AND BILL. Run this by hand:\n\n"
        f"{commands.text(commands.delete(request))}\n"
    )
