"""Slices of Cloud TPUs: what is refused before anything starts, dry runs and help."""

import subprocess
from pathlib import Path

import pytest

PLACE = ["--zone=us-west4-a", "--project=my-project-123"]
SLICE = ["--name=cnn-run", *PLACE, "--accelerator_type=v5litepod-16", "--poll_seconds=0.01"]
WORDS = ["--", "train", "--config=experiments/a.py", "--workdir=gs://my-bucket/runs/a"]


REFUSED = [
    ("rum", "verb: got 'rum'", "did you mean 'run'?"),
    ("run --name=cnn-run", "--zone: run needs it", "--project: run needs it", "--accelerator_type: run needs it"),
    ("run {slice} --zome=a", "Unknown command line flag 'zome'. Did you mean: zone"),
    ("run {slice} more {words}", "'more': unexpected word"),
    ("run {slice}", "run needs launch.py's words after --"),
    ("run {slice} -- train --config=experiments/a.py", "--workdir: got None, expected --workdir=gs://"),
    ("run {slice} -- train --workdir=runs/a", "--workdir: got 'runs/a', expected --workdir=gs://"),
    ("run {slice} --name=Cnn_Run {words}", "--name: got 'Cnn_Run', expected lower-case letters"),
    ("run {slice} --zone=us-west4 {words}", "--zone: got 'us-west4', expected a zone: us-west4-a"),
    ("run {slice} --project=P {words}", "--project: got 'P', expected a project's ID"),
    ("run {slice} --valid_until_duration=6 {words}", "--valid_until_duration: got '6'", "6h"),
    ("run {slice} --data=/data {words}", "--data: got '/data'", "gs://"),
    ("run {slice} --service_account=me {words}", "--service_account: got 'me'", "an address"),
    ("run {slice} --max_restarts=-1 {words}", "max_restarts=-1"),
    ("run {slice} --accelerator_type=v5e-16 {words}", "'v5e-16', which is no slice; nearest: v5litepod-16"),
    ("run {slice} --accelerator_type=v5litepod-12 {words}", "nearest: v5litepod-4, v5litepod-8, v5litepod-16"),
    ("run {slice} --accelerator_type=v6f-8 {words}", "'v6f-8'", "nearest: v6e-1"),
    ("run {slice} --accelerator_type=v4 {words}", "'v4'", "nearest: v4-8"),
    ("run {slice} --accelerator_type=a100 {words}", "'a100'", "v5litepod-1, v5p-8, v6e-1"),
    (
        "run {slice} --runtime_version=v2-alpha-tpuv6e {words}",
        "does not run on v5litepod-16; expected 'v2-alpha-tpuv5-lite'",
    ),
    ("delete {slice} {words}", "delete takes no words after --"),
    ("run {slice} -- train --config=experiments/b.py --workdir=gs://b/a", "'experiments/b.py' is not committed"),
]


@pytest.mark.parametrize("case", REFUSED, ids=lambda case: case[0])
def test_refused_before_anything_starts(cloud, case):
    line, *told = case
    done = cloud.run(*line.format(slice=" ".join(SLICE), words=" ".join(WORDS)).split())
    assert done.returncode == 2, done.stderr
    for text in told:
        assert text in done.stderr
    assert done.stderr.startswith("refused: ")
    assert not cloud.calls


def test_changes_that_are_not_committed_are_refused(cloud, tmp_path):
    checkout = tmp_path / "changed"
    subprocess.run(["git", "clone", "-q", str(cloud.checkout), str(checkout)], check=True)
    (checkout / "experiments" / "a.py").write_text("changed\n")
    cloud.checkout = checkout
    done = cloud.run("run", *SLICE, *WORDS)
    assert done.returncode == 2
    assert "these are changed: experiments/a.py; commit them" in done.stderr
    assert not cloud.calls


def test_without_gcloud(cloud):
    Path(cloud.folder, "bin", "gcloud").unlink()
    done = cloud.run("delete", *SLICE)
    assert done.returncode == 2
    assert "gcloud: not found on the PATH" in done.stderr


@pytest.mark.parametrize("kind", ["v2-8", "v3-32", "v4-384", "v5litepod-1", "v5p-12288", "v6e-256"])
def test_a_dry_run_calls_nothing(cloud, kind):
    done = cloud.run("run", *SLICE, f"--accelerator_type={kind}", "--dry_run", *WORDS)
    assert done.returncode == 0, done.stderr
    assert f"--accelerator-type={kind}" in done.stdout
    assert not cloud.calls


def test_help_names_every_verb_and_flag(cloud):
    done = cloud.run("--help")
    assert done.returncode == 0
    for word in ("create", "resume", "--valid_until_duration", "--dry_run", "Exit codes"):
        assert word in done.stdout
