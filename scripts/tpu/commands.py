"""Every command that is run, as a list of words: gcloud's here, the workers' as worker.sh's."""

from __future__ import annotations

import shlex

from scripts.tpu.arguments import Request

_TPUS = ["gcloud", "compute", "tpus"]
FOLLOW_SECONDS = 60


def _place(request: Request) -> list[str]:
    return [f"--zone={request.zone}", f"--project={request.project}"]


def create(request: Request) -> list[str]:
    """Queues the request; the node gets the queued resource's name."""
    command = [*_TPUS, "queued-resources", "create", request.name, *_place(request)]
    command += [f"--node-id={request.name}", f"--accelerator-type={request.accelerator_type}"]
    command += [f"--runtime-version={request.runtime_version}"]
    if request.spot:
        command.append("--spot")
    if request.valid_until_duration:
        command.append(f"--valid-until-duration={request.valid_until_duration}")
    if request.service_account:
        command.append(f"--service-account={request.service_account}")
    return [*command, "--quiet"]


def describe(request: Request) -> list[str]:
    """Prints the queued resource's state as JSON."""
    return [*_TPUS, "queued-resources", "describe", request.name, *_place(request), "--format=json(state)", "--quiet"]


def delete(request: Request) -> list[str]:
    """Deletes the queued resource and its node, and waits until that is done."""
    return [*_TPUS, "queued-resources", "delete", request.name, *_place(request), "--force", "--quiet"]


def bundle(request: Request) -> list[str]:
    """Packs the commit that is checked out, with its history, so that a run's provenance names it."""
    return ["git", "bundle", "create", "-q", bundle_file(request), "HEAD"]


def bundle_file(request: Request) -> str:
    """Where the packed commit lies, seen from the checkout."""
    return f"build/tpu/{request.name}.bundle"


def copy(request: Request) -> list[str]:
    """Copies the packed commit and worker.sh to every worker's home."""
    sources = [bundle_file(request), "scripts/tpu/worker.sh"]
    return [*_TPUS, "tpu-vm", "scp", *sources, f"{request.name}:", *_place(request), "--worker=all", "--quiet"]


def install(request: Request) -> list[str]:
    """Makes the environment on every worker, and fetches the data."""
    return _worker(request, "all", "install", f"{request.name}.bundle", *([request.data] if request.data else []))


def launch(request: Request) -> list[str]:
    """Starts launch.py on every worker."""
    return _worker(request, "all", "launch", *request.words)


def follow(request: Request, offset: int) -> list[str]:
    """Prints worker 0's log from a byte on, for a minute or until the run ends."""
    return _worker(request, "0", "follow", str(offset), str(FOLLOW_SECONDS))


def state(request: Request) -> list[str]:
    """Prints one line for each worker."""
    return _worker(request, "all", "state")


def stop(request: Request) -> list[str]:
    """Asks launch.py on every worker to save and leave."""
    return _worker(request, "all", "stop")


def _worker(request: Request, worker: str, *words: str) -> list[str]:
    command = shlex.join(["sh", "worker.sh", *words])
    where = [*_place(request), f"--worker={worker}"]
    return [*_TPUS, "tpu-vm", "ssh", request.name, *where, f"--command={command}", "--quiet"]


def text(command: list[str]) -> str:
    """A command as it is typed, one flag a line; it can be pasted into a shell."""
    first = next((place for place, word in enumerate(command) if word.startswith("--")), len(command))
    return " \\\n    ".join([shlex.join(command[:first]), *map(_quoted, command[first:])])


def _quoted(word: str) -> str:
    name, equals, value = word.partition("=")
    return f"{name}={shlex.quote(value)}" if equals and name.startswith("--") else shlex.quote(word)
