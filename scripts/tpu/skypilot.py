"""Trains by SkyPilot's managed jobs: `python -m scripts.tpu.skypilot launch|logs|delete`; the job is skypilot.yaml."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from absl import flags

from scripts.tpu.other_tools import Job, main, words_for_shell


def define(values: flags.FlagValues) -> None:
    """The flags that only SkyPilot's jobs have."""
    flags.DEFINE_string("infra", "gcp", "where: gcp, gcp/us-central2, k8s/my-cluster", values)


def launch(job: Job) -> list[list[str]]:
    """Submits the job: SkyPilot's controller gets a slice, runs and resumes the job on it, and ends the slice."""
    command = ["sky", "jobs", "launch", "scripts/tpu/skypilot.yaml", f"--name={job.flags.name}"]
    command += [f"--infra={job.flags.infra}", f"--gpus=tpu-{job.flags.accelerator_type}:1"]
    if job.flags.spot:
        command.append("--use-spot")
    return [[*command, f"--env=LAUNCH={words_for_shell(job.words)}", "--detach-run", "--yes"]]


def logs(job: Job) -> list[list[str]]:
    """Follows the job's log."""
    return [["sky", "jobs", "logs", f"--name={job.flags.name}"]]


def delete(job: Job) -> list[list[str]]:
    """Cancels the job, which ends its slice; the controller's machine stays, and stops by itself."""
    return [["sky", "jobs", "cancel", f"--name={job.flags.name}", "--yes"]]


def run(argv: Sequence[str]) -> int:
    """Does one verb and gives the exit code."""
    return main(argv, "sky", {"launch": launch, "logs": logs, "delete": delete}, define, ())


if __name__ == "__main__":
    sys.exit(run(sys.argv[1:]))
