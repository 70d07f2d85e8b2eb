"""`python -m scripts.tpu VERB ...`: flags in, one verb out."""

from __future__ import annotations

import shutil
import sys

from scripts.tpu import arguments, steps, supervise
from scripts.tpu.arguments import RefusedError, Request
from scripts.tpu.runner import DryRunner, Interrupted, Runner, StepError
from scripts.tpu.steps import Ending


def main(argv: list[str]) -> int:
    """Does one verb and gives the exit code."""
    try:
        request = arguments.parse(argv)
        runner = DryRunner() if request.dry_run else Runner()
        missing = [] if request.dry_run else [tool for tool in ("gcloud", "git") if shutil.which(tool) is None]
        if missing:
            raise RefusedError(f"{missing[0]}: not found on the PATH; see docs/tpu.md, step 1")
        with supervise.signals(runner):
            return do(request, runner).value
    except arguments.HelpRequested as text:
        print(text)
        return Ending.DONE.value
    except RefusedError as error:
        print("\n".join(f"refused: {fault}" for fault in str(error).splitlines()), file=sys.stderr)
        return Ending.REFUSED.value
    except StepError as error:
        before = error.__context__
        if isinstance(before, (StepError, Interrupted)):
            print(f"failed: {before}", file=sys.stderr)
        print(f"failed: {error}", file=sys.stderr)
        return Ending.FAILED.value
    except Interrupted as signal:
        print(f"stopped by {signal}", file=sys.stderr)
        return Ending.STOPPED.value


def do(request: Request, runner: Runner) -> Ending:
    """Does a verb.

    Returns:
      How the run ended, for the verbs that follow one; else DONE.
    """
    match request.verb:
        case "run":
            return supervise.run(request, runner)
        case "resume":
            return supervise.resume(request, runner)
        case "logs":
            return logs(request, runner)
        case "create":
            supervise.create(request, runner)
        case "install":
            steps.check_checkout(request, runner)
            steps.install(request, runner)
        case "launch":
            supervise.launch(request, runner)
        case "status":
            status(request, runner)
        case "delete":
            steps.delete(request, runner)
    return Ending.DONE


def logs(request: Request, runner: Runner) -> Ending:
    """Follows a run that was launched."""
    ending = steps.follow(request, runner)
    if ending is Ending.NONE:
        raise StepError("nothing was launched on this slice")
    return ending


def status(request: Request, runner: Runner) -> None:
    """Prints the slice's state and, where it is there, each worker's."""
    state = steps.look(request, runner)
    if not runner.dry:
        print(steps.meaning(state), flush=True)
    if state == steps.ACTIVE:
        steps.workers(request, runner)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
