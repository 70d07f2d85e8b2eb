"""`run` and `resume`: from nothing to a finished run, through preemptions, with nothing left that bills."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator

from scripts.tpu import commands, steps
from scripts.tpu.arguments import RefusedError, Request
from scripts.tpu.runner import Interrupted, Runner, StepError
from scripts.tpu.steps import ABSENT, ACTIVE, Ending

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class _Hold:
    on = False


@contextlib.contextmanager
def signals(runner: Runner) -> Iterator[None]:
    """Turns the first signal that asks to end into Interrupted; later ones do not disturb the giving back."""
    seen = []

    def interrupt(number: int, frame: object) -> None:
        del frame
        seen.append(number)
        if len(seen) == 1 and not _Hold.on:
            runner.interrupt(Interrupted(signal.Signals(number).name))
        else:
            runner.say("giving back what was taken; this must finish")

    before = {number: signal.signal(number, interrupt) for number in _SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def undisturbed() -> Iterator[None]:
    """Lets the giving back finish, whatever signals come."""
    before, _Hold.on = _Hold.on, True
    try:
        yield
    finally:
        _Hold.on = before


@contextlib.contextmanager
def given_back(request: Request, runner: Runner, *, always: bool) -> Iterator[None]:
    """Deletes the slice when what is done with it fails or is interrupted; with `always`, also when it is done."""
    failed = False
    try:
        yield
    except BaseException:
        failed = True
        raise
    finally:
        if failed or always:
            with undisturbed():
                if request.keep:
                    runner.say(f"kept, and bills until it is deleted:\n{commands.text(commands.delete(request))}")
                else:
                    steps.delete(request, runner)


@contextlib.contextmanager
def none_left_running(request: Request, runner: Runner) -> Iterator[None]:
    """Stops launch.py on every worker when what is done in between fails or is interrupted; its state is saved."""
    try:
        yield
    except (StepError, Interrupted):
        with undisturbed():
            steps.stop(request, runner)
        raise


def create(request: Request, runner: Runner) -> None:
    """Gets a slice that is not there yet, and leaves it; where that fails nothing is left."""
    _refuse_present(request, runner)
    with given_back(request, runner, always=False):
        steps.create(request, runner)


def launch(request: Request, runner: Runner) -> None:
    """Starts launch.py on every worker; where one does not start, none is left running."""
    with none_left_running(request, runner):
        steps.launch(request, runner)


def run(request: Request, runner: Runner) -> Ending:
    """Creates, installs, launches, follows, resumes where it was stopped, and deletes."""
    steps.check_checkout(request, runner)
    _refuse_present(request, runner)
    with given_back(request, runner, always=True):
        return _until_done(request, runner, ABSENT)


def resume(request: Request, runner: Runner) -> Ending:
    """As run, from the state in which the slice is: what runs is followed, what was stopped or failed starts again."""
    steps.check_checkout(request, runner)
    state = steps.look(request, runner, assume="SUSPENDED")
    runner.say(f"the slice is {steps.meaning(state)}")
    with given_back(request, runner, always=True):
        if state == ACTIVE and steps.workers(request, runner) in (Ending.RUNNING, Ending.DONE):
            with none_left_running(request, runner):
                ending = steps.follow(request, runner)
            if ending is not Ending.STOPPED:
                return ending
            state = steps.look(request, runner)
        return _until_done(request, runner, state)


def _until_done(request: Request, runner: Runner, state: str) -> Ending:
    for restarts in range(request.max_restarts + 1):
        if restarts:
            runner.say(f"restart {restarts} of {request.max_restarts} at most")
            state = steps.look(request, runner)
        if state == ACTIVE:
            steps.stop(request, runner)
        else:
            if state != ABSENT:
                steps.delete(request, runner)
            steps.create(request, runner)
        steps.install(request, runner)
        with none_left_running(request, runner):
            steps.launch(request, runner)
            ending = steps.follow(request, runner)
        if ending is Ending.NONE:
            raise StepError("the workers know nothing of the run that was launched")
        if ending is not Ending.STOPPED:
            return ending
    runner.say(f"stopped {request.max_restarts + 1} times; resume goes on from the last checkpoint")
    return Ending.STOPPED


def _refuse_present(request: Request, runner: Runner) -> None:
    state = steps.look(request, runner, assume=ABSENT)
    if state != ABSENT:
        raise RefusedError(
            f"--name: there is a slice {request.name!r} already, {state}; resume takes it up, delete gives it back,"
            " or take another name"
        )
