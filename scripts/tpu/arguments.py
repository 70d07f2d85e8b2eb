"""The command line of `python -m scripts.tpu`: a verb, flags, and after `--` the words for launch.py."""

from __future__ import annotations

import dataclasses
import difflib
import re
from collections.abc import Sequence
from typing import Any

from absl import flags

from scripts.tpu import accelerators

VERBS = {
    "create": "ask for the slice and wait until it is there",
    "install": "put this checkout and its packages on every worker",
    "launch": "start launch.py on every worker; it goes on without a connection",
    "logs": "follow worker 0's log until the run ends",
    "status": "print the slice's state and each worker's",
    "resume": "take up a run again: follow it where it runs, or get a slice anew; then as run",
    "delete": "give the slice back",
    "run": "create, install, launch, logs; resumes when preempted; deletes at the end whatever happens",
}
_NEEDS_SLICE = ("create", "resume", "run")
_NEEDS_WORDS = ("launch", "resume", "run")

# Each: the flag, what its value looks like, and how to say so.
_FORMATS = (
    ("name", r"[a-z]([a-z0-9-]{0,61}[a-z0-9])?", "lower-case letters, digits and hyphens, a letter first: cnn-run"),
    ("zone", r"[a-z]+-[a-z]+\d+-[a-z]", "a zone: us-west4-a"),
    ("project", r"([a-z0-9.-]+:)?[a-z][a-z0-9-]{4,28}[a-z0-9]", "a project's ID, not its title: my-project-123"),
    ("valid_until_duration", r"\d+[smhd]", "a number and one unit of s, m, h, d: 6h"),
    ("service_account", r"[^@\s]+@[^@\s]+\.[^@\s]+", "an address: cnn-tpu@my-project-123.iam.gserviceaccount.com"),
    ("data", r"gs://[a-z0-9][a-z0-9._-]+(/.*)?", "a folder in a bucket: gs://my-bucket/cnn_jax"),
)


class RefusedError(Exception):
    """Nothing was started; the message is what to do about it."""


class HelpRequested(Exception):
    """The command line asks for help; the message is the text."""


@dataclasses.dataclass(frozen=True)
class Request:
    """A command line that has been understood.

    Attributes:
      verb: a key of VERBS.
      words: what launch.py is called with.
      keep: leave the slice when `run` or `resume` ends, or `create` fails.
      wait_minutes: how long to wait for the slice before giving up.
      poll_seconds: between looks at the slice, and before another try.
      max_restarts: how often a run is taken up again.
      The others are flags of the same names.
    """

    verb: str
    words: tuple[str, ...]
    name: str
    zone: str
    project: str
    accelerator_type: str
    runtime_version: str
    spot: bool
    valid_until_duration: str | None
    service_account: str | None
    data: str | None
    keep: bool
    max_restarts: int
    wait_minutes: float
    poll_seconds: float
    dry_run: bool


def _define() -> flags.FlagValues:
    values = flags.FlagValues()
    string = flags.DEFINE_string
    string("name", None, "the slice's name, of the queued resource and its node", values)
    string("zone", None, "where: us-west4-a", values)
    string("project", None, "the Google Cloud project's ID", values)
    string("accelerator_type", None, "which slice: v5litepod-16, v6e-8, v4-32, ...", values)
    string("runtime_version", None, "the TPU VM's image; default: the generation's", values)
    flags.DEFINE_bool("spot", False, "cheaper, and may be taken away at any time", values)
    string("valid_until_duration", None, "drop the request when it was not fulfilled by then: 6h", values)
    string("service_account", None, "that the workers act as; default: the project's Compute Engine account", values)
    string("data", None, "prepared data in a bucket, copied to every worker's cache: gs://...", values)
    flags.DEFINE_bool("keep", False, "leave the slice, which then bills until you delete it", values)
    flags.DEFINE_integer("max_restarts", 10, "how often a stopped run is taken up again", 0, None, values)
    flags.DEFINE_float("wait_minutes", 720.0, "how long to wait for the slice", 0, None, values)
    flags.DEFINE_float("poll_seconds", 30.0, "between looks at the slice", 0, None, values)
    flags.DEFINE_bool("dry_run", False, "print every command, run none", values)
    return values


def parse(argv: Sequence[str]) -> Request:
    """Understands a command line, or tells everything that is wrong with it.

    Args:
      argv: the words after the program's name.

    Raises:
      RefusedError: with all faults, one a line.
      HelpRequested: for --help, or no words at all.
    """
    end = argv.index("--") if "--" in argv else len(argv)
    own, words = list(argv[:end]), tuple(argv[end + 1 :])
    if not own or {"-h", "--help", "help"} & set(own):
        raise HelpRequested(_help_text())
    verb = own[0]
    if verb not in VERBS:
        near = difflib.get_close_matches(verb, VERBS, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise RefusedError(f"verb: got {verb!r}, expected one of: {', '.join(VERBS)}{hint}")
    values = _define()
    try:
        rest = values(["tpu", *own[1:]])[1:]
    except flags.Error as error:
        raise RefusedError(str(error)) from error
    faults = [f"{word!r}: unexpected word; launch.py's words come after --" for word in rest]
    faults += _faults(verb, values) + _word_faults(verb, words)
    if faults:
        raise RefusedError("\n".join(faults))
    given = {field.name: values[field.name].value for field in dataclasses.fields(Request) if field.name in values}
    if values.accelerator_type and not values.runtime_version:
        given["runtime_version"] = accelerators.runtime_version(values.accelerator_type)
    return Request(**{**given, "verb": verb, "words": words})


def _faults(verb: str, values: Any) -> list[str]:
    needed = ("name", "zone", "project", *(("accelerator_type",) if verb in _NEEDS_SLICE else ()))
    faults = [f"--{flag}: {verb} needs it" for flag in needed if not values[flag].value]
    for flag, pattern, example in _FORMATS:
        value = values[flag].value
        if value and not re.fullmatch(pattern, value):
            faults.append(f"--{flag}: got {value!r}, expected {example}")
    if values.accelerator_type:
        fault = accelerators.fault(values.accelerator_type)
        if fault:
            faults.append(f"--accelerator_type: {fault}")
        elif values.runtime_version:
            fault = accelerators.runtime_fault(values.runtime_version, values.accelerator_type)
            faults += [f"--runtime_version: {fault}"] if fault else []
    return faults


def _word_faults(verb: str, words: tuple[str, ...]) -> list[str]:
    if verb not in _NEEDS_WORDS:
        return [f"{verb} takes no words after --"] if words else []
    if not words:
        return [f"{verb} needs launch.py's words after --: -- train --config=experiments/fashion_mnist.py"]
    workdir = next((word.partition("=")[2] for word in words if word.startswith("--workdir=")), None)
    if verb == "launch" or (workdir or "").startswith("gs://"):
        return []
    return [
        f"--workdir: got {workdir!r}, expected --workdir=gs://BUCKET/FOLDER after --:"
        f" {verb} deletes the slice with all that lies on it"
    ]


def _help_text() -> str:
    verbs = "\n".join(f"  {verb:8} {meaning}" for verb, meaning in VERBS.items())
    values = _define()
    lines = "\n".join(f"  --{name:21} {values[name].help}" for name in values if name in Request.__annotations__)
    return (
        "python -m scripts.tpu VERB --name=NAME --zone=ZONE --project=ID [flags] [-- words for launch.py]\n\n"
        f"{verbs}\n\n{lines}\n\n"
        "Exit codes: 0 done, 1 failed, 2 refused, 75 stopped: resume continues it. See docs/tpu.md."
    )
