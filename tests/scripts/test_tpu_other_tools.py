"""xpk and SkyPilot, against stand-ins: exact arguments, and a launch that fails leaves nothing."""

import signal

import pytest

WORDS = [
    "--",
    "train",
    "--config=experiments/a.py",
    "--workdir=gs://my-bucket/runs/a",
    "--config.model.padding=(SAME, 1)",
]
SHELL = "train --config=experiments/a.py --workdir=gs://my-bucket/runs/a '--config.model.padding=(SAME, 1)'"
PLACE = ["--cluster=my-cluster", "--zone=us-west4-a", "--project=my-project-123"]
FLAGS = {
    "gke": ["--name=cnn-run", *PLACE, "--accelerator_type=v5litepod-16"],
    "skypilot": ["--name=cnn-run", "--accelerator_type=v6e-8", "--infra=gcp/us-central2", "--spot"],
}
LAUNCH = {
    "gke": [
        *["xpk", "workload", "create", "--workload=cnn-run", *PLACE, "--tpu-type=v5litepod-16"],
        *["--base-docker-image=python:3.11", "--script-dir=build/tpu/cnn-run", "--max-restarts=10"],
        *["--restart-on-exit-codes=75", "--termination-grace-period-seconds=120"],
        f"--command=pip install --quiet -r requirements-tpu.txt && python launch.py {SHELL}",
    ],
    "skypilot": [
        *["sky", "jobs", "launch", "scripts/tpu/skypilot.yaml", "--name=cnn-run", "--infra=gcp/us-central2"],
        *["--gpus=tpu-v6e-8:1", "--use-spot", f"--env=LAUNCH={SHELL}", "--detach-run", "--yes"],
    ],
}
DELETE = {
    "gke": ["xpk", "workload", "delete", "--workload=cnn-run", *PLACE, "--force"],
    "skypilot": ["sky", "jobs", "cancel", "--name=cnn-run", "--yes"],
}
TOOLS = list(FLAGS)


@pytest.mark.parametrize("tool", TOOLS)
def test_launch(cloud, tool):
    done = cloud.run("launch", *FLAGS[tool], *WORDS, module=f"scripts.tpu.{tool}")
    assert done.returncode == 0, done.stderr
    assert cloud.calls == [LAUNCH[tool]]
    if tool == "gke":
        assert (cloud.checkout / "build" / "tpu" / "cnn-run" / "experiments" / "a.py").exists()


@pytest.mark.parametrize("tool", TOOLS)
def test_a_launch_that_fails_is_undone(cloud, tool):
    cloud.answers(["create|launch", [{"err": "Quota exceeded", "code": 1}]])
    done = cloud.run("launch", *FLAGS[tool], *WORDS, module=f"scripts.tpu.{tool}")
    assert done.returncode == 1
    assert cloud.calls == [LAUNCH[tool], DELETE[tool]]
    assert "Quota exceeded" in done.stderr


@pytest.mark.parametrize("tool", TOOLS)
def test_what_cannot_be_undone_is_told_loudly(cloud, tool):
    cloud.answers(["", [{"code": 1}]])
    done = cloud.run("launch", *FLAGS[tool], *WORDS, module=f"scripts.tpu.{tool}")
    assert done.returncode == 1
    assert "NOT DELETED" in done.stderr
    assert " ".join(DELETE[tool][:3]) in done.stderr


@pytest.mark.parametrize("tool", TOOLS)
def test_a_signal_while_it_launches(cloud, tool):
    cloud.answers(["create|launch", [{"until": "never"}]])
    process = cloud.start("launch", *FLAGS[tool], *WORDS, module=f"scripts.tpu.{tool}")
    cloud.wait_for_a_hang()
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=600)
    assert process.returncode == 75, err
    assert cloud.calls == [LAUNCH[tool], DELETE[tool]]
    assert not cloud.left()


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("gke lunch", "verb: got 'lunch', expected one of: launch, logs, delete"),
        ("gke launch --name=a", "--cluster: launch needs it"),
        ("gke logs --name=a --cluster=b --zone=c", "--project: logs needs it"),
        ("skypilot launch --name=A_", "--name: got 'A_'"),
        ("skypilot launch --name=a --accelerator_type=v6e-9", "nearest: v6e-4, v6e-8, v6e-16"),
        ("skypilot launch --name=a --accelerator_type=v6e-8 -- train", "a bucket among them"),
        ("skypilot launch --accelerator_typ=v6e-8", "Did you mean: accelerator_type"),
    ],
)
def test_refused(cloud, line, told):
    tool, *words = line.split()
    done = cloud.run(*words, module=f"scripts.tpu.{tool}")
    assert done.returncode == 2
    assert told in done.stderr
    assert not cloud.calls
