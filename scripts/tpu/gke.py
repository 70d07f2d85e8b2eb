"""Trains on GKE by xpk: `python -m scripts.tpu.gke launch|logs|delete`; the cluster is made before (docs/tpu.md)."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from absl import flags

from scripts.tpu.other_tools import Job, main, words_for_shell

_GRACE_SECONDS = 120


def define(values: flags.FlagValues) -> None:
    """The flags that only xpk's jobs have."""
    flags.DEFINE_string("cluster", None, "the GKE cluster", values)
    flags.DEFINE_string("zone", None, "the cluster's zone", values)
    flags.DEFINE_string("project", None, "the Google Cloud project's ID", values)


def launch(job: Job) -> list[list[str]]:
    """A clone of the commit becomes a layer on Python's image; the workload restarts when stopped, not when refused."""
    folder = f"build/tpu/{job.flags.name}"
    create = ["xpk", "workload", "create", f"--workload={job.flags.name}", *_where(job)]
    create += [f"--tpu-type={job.flags.accelerator_type}", "--base-docker-image=python:3.11", f"--script-dir={folder}"]
    create += [f"--max-restarts={job.flags.max_restarts}", "--restart-on-exit-codes=75"]
    create += [f"--termination-grace-period-seconds={_GRACE_SECONDS}"]
    if job.flags.spot:
        create.append("--spot")
    run = f"pip install --quiet -r requirements-tpu.txt && python launch.py {words_for_shell(job.words)}"
    return [["rm", "-rf", folder], ["git", "clone", "-q", ".", folder], [*create, f"--command={run}"]]


def logs(job: Job) -> list[list[str]]:
    """Waits for the workload's end; its log is in Cloud Logging, whose address xpk prints."""
    wait = ["xpk", "workload", "list", f"--cluster={job.flags.cluster}", f"--zone={job.flags.zone}"]
    return [[*wait, f"--project={job.flags.project}", f"--wait-for-job-completion={job.flags.name}"]]


def delete(job: Job) -> list[list[str]]:
    """Deletes the workload; the cluster stays, and bills."""
    return [["xpk", "workload", "delete", f"--workload={job.flags.name}", *_where(job), "--force"]]


def _where(job: Job) -> list[str]:
    return [f"--cluster={job.flags.cluster}", f"--zone={job.flags.zone}", f"--project={job.flags.project}"]


def run(argv: Sequence[str]) -> int:
    """Does one verb and gives the exit code."""
    return main(argv, "xpk", {"launch": launch, "logs": logs, "delete": delete}, define, ("cluster", "zone", "project"))


if __name__ == "__main__":
    sys.exit(run(sys.argv[1:]))
