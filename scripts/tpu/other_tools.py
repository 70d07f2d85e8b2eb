"""Common part of gke.py and skypilot.py: their command line, and that a launch which fails leaves nothing."""

from __future__ import annotations

import dataclasses
import re
import shlex
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from absl import flags

from scripts.tpu import accelerators, commands
from scripts.tpu.arguments import RefusedError
from scripts.tpu.runner import DryRunner, Interrupted, Runner, StepError
from scripts.tpu.supervise import signals, undisturbed

_DAY = 24 * 3600.0


@dataclasses.dataclass(frozen=True)
class Job:
    """Request: the flags' values and launch.py's words."""

    flags: Any
    words: tuple[str, ...]


Verb = Callable[[Job], list[list[str]]]


def words_for_shell(words: Sequence[str]) -> str:
    """launch.py's words as a shell reads them."""
    return shlex.join(words)


def main(
    argv: Sequence[str],
    tool: str,
    verbs: Mapping[str, Verb],
    define: Callable[[flags.FlagValues], None],
    required: Sequence[str],
) -> int:
    """Does one verb and gives the exit code: 0 done, 1 failed, 2 refused, 75 stopped by a signal.

    Args:
      argv: the words after the program's name.
      tool: the program that is called.
      verbs: the commands of each verb; `launch` is undone by `delete` where it fails.
      define: defines the flags that only this tool has.
      required: those among them that have to be given.
    """
    try:
        verb, job = _parse(argv, verbs, define, required)
        runner = DryRunner() if job.flags.dry_run else Runner()
        if not runner.dry and shutil.which(tool) is None:
            raise RefusedError(f"{tool}: not found on the PATH; see docs/tpu.md")
        with signals(runner):
            _do(verb, verbs, job, runner)
    except RefusedError as error:
        print("\n".join(f"refused: {fault}" for fault in str(error).splitlines()), file=sys.stderr)
        return 2
    except StepError as error:
        print(f"failed: {error}", file=sys.stderr)
        return 1
    except Interrupted as signal:
        print(f"stopped by {signal}", file=sys.stderr)
        return 75
    return 0


def _do(verb: str, verbs: Mapping[str, Verb], job: Job, runner: Runner) -> None:
    try:
        for command in verbs[verb](job):
            runner.must(verb, command, _DAY, show=True)
    except (StepError, Interrupted):
        if verb == "launch":
            with undisturbed():
                for command in verbs["delete"](job):
                    if runner.run(command, 600.0, show=True).code:
                        runner.say(
                            f"NOT DELETED, it may be there AND BILL. Run this by hand:\n\n{commands.text(command)}\n"
                        )
        raise


def _parse(
    argv: Sequence[str],
    verbs: Mapping[str, Verb],
    define: Callable[[flags.FlagValues], None],
    required: Sequence[str],
) -> tuple[str, Job]:
    end = argv.index("--") if "--" in argv else len(argv)
    own, words = list(argv[:end]), tuple(argv[end + 1 :])
    if not own or own[0] not in verbs:
        raise RefusedError(f"verb: got {own[0] if own else ''!r}, expected one of: {', '.join(verbs)}")
    values = flags.FlagValues()
    flags.DEFINE_string("name", None, "the job's name", values)
    flags.DEFINE_string("accelerator_type", None, "which slice: v5litepod-16, v6e-8, ...", values)
    flags.DEFINE_bool("spot", False, "cheaper, and may be taken away at any time", values)
    flags.DEFINE_integer("max_restarts", 10, "how often a stopped run is taken up again", 0, None, values)
    flags.DEFINE_bool("dry_run", False, "print every command, run none", values)
    define(values)
    try:
        rest = values(["tpu", *own[1:]])[1:]
    except flags.Error as error:
        raise RefusedError(str(error)) from error
    launches = own[0] == "launch"
    needed = ("name", *required, *(("accelerator_type",) if launches else ()))
    faults = [f"{word!r}: unexpected word; launch.py's words come after --" for word in rest]
    faults += [f"--{flag}: {own[0]} needs it" for flag in needed if not values[flag].value]
    if values.name and not re.fullmatch(r"[a-z]([a-z0-9-]{0,38}[a-z0-9])?", values.name):
        faults.append(f"--name: got {values.name!r}, expected up to 40 lower-case letters, digits and hyphens: cnn-run")
    fault = accelerators.fault(values.accelerator_type) if values.accelerator_type else None
    faults += [f"--accelerator_type: {fault}"] if fault else []
    if launches and not any(word.startswith("--workdir=gs://") for word in words):
        faults.append("launch needs launch.py's words after --, a bucket among them: -- train ... --workdir=gs://...")
    if faults:
        raise RefusedError("\n".join(faults))
    return own[0], Job(values, words)
