"""Slices as queued resources, against recorded answers of gcloud: exact arguments, faults, signals, nothing left."""

import json
import os
import shlex
import signal
import subprocess

import pytest
from moments import wait_until

from scripts.tpu import supervise
from scripts.tpu.runner import Interrupted, Runner

PLACE = ["--zone=us-west4-a", "--project=my-project-123"]
SLICE = ["--name=cnn-run", *PLACE, "--accelerator_type=v5litepod-16", "--poll_seconds=0.01"]
WORDS = ["--", "train", "--config=experiments/a.py", "--workdir=gs://my-bucket/runs/a"]
TPUS = ["gcloud", "compute", "tpus"]
DESCRIBE = [*TPUS, "queued-resources", "describe", "cnn-run", *PLACE, "--format=json(state)", "--quiet"]
DELETE = [*TPUS, "queued-resources", "delete", "cnn-run", *PLACE, "--force", "--quiet"]
ABSENT = {
    "err": "ERROR: (gcloud.compute.tpus.queued-resources.describe) NOT_FOUND: Resource 'x' was not found",
    "code": 1,
}
LOST = {"err": "ssh: connect to host 10.0.0.2 port 22: Connection timed out", "code": 255}
COMING = ["describe", "create", "describe"]
UP = [*COMING, "scp", "install", "launch"]


def state(name, **more):
    return {"out": json.dumps({"state": {"state": name, **more}})}


def workers(*codes):
    return {"out": "".join(f"worker host-{place} {code}\n" for place, code in enumerate(codes))}


def pasted(text):
    """A command as a shell would read it."""
    return shlex.split(text.replace("\\\n", " "))


def ssh(worker, command):
    return [*TPUS, "tpu-vm", "ssh", "cnn-run", *PLACE, f"--worker={worker}", f"--command={command}", "--quiet"]


def test_run_calls_gcloud_exactly_so(cloud):
    cloud.answers(
        [
            "describe",
            [ABSENT, state("ACCEPTED"), state("WAITING_FOR_RESOURCES"), state("PROVISIONING"), state("ACTIVE")],
        ],
        ["worker.sh follow", [{"out": "step 1\n"}, {"out": "step 2\n"}]],
        ["worker.sh state", [workers("running", "running"), workers(0, "running"), workers(0, 0)]],
    )
    flags = ["--spot", "--valid_until_duration=6h", "--service_account=cnn@p.iam.gserviceaccount.com"]
    done = cloud.run("run", *SLICE, *flags, "--data=gs://my-bucket/data", *WORDS, "--config.model.padding=(SAME, 1)")
    assert done.returncode == 0, done.stderr
    launch = ["sh", "worker.sh", "launch", *WORDS[1:], "--config.model.padding=(SAME, 1)"]
    create = [*TPUS, "queued-resources", "create", "cnn-run", *PLACE, "--node-id=cnn-run"]
    create += ["--accelerator-type=v5litepod-16", "--runtime-version=v2-alpha-tpuv5-lite", "--spot"]
    create += ["--valid-until-duration=6h", "--service-account=cnn@p.iam.gserviceaccount.com", "--quiet"]
    files = ["build/tpu/cnn-run.bundle", "scripts/tpu/worker.sh", "cnn-run:"]
    assert cloud.calls == [
        DESCRIBE,
        create,
        *[DESCRIBE] * 4,
        [*TPUS, "tpu-vm", "scp", *files, *PLACE, "--worker=all", "--quiet"],
        ssh("all", "sh worker.sh install cnn-run.bundle gs://my-bucket/data"),
        ssh("all", shlex.join(launch)),
        ssh("0", "sh worker.sh follow 0 60"),
        ssh("all", "sh worker.sh state"),
        ssh("0", "sh worker.sh follow 7 60"),
        ssh("all", "sh worker.sh state"),
        ssh("0", "sh worker.sh follow 14 60"),
        ssh("all", "sh worker.sh state"),
        DELETE,
    ]
    assert done.stdout == "step 1\nstep 2\nstep 2\n"
    for told in ("ACCEPTED: in the queue", "WAITING_FOR_RESOURCES", "PROVISIONING", "ACTIVE", "deleted cnn-run"):
        assert told in done.stderr
    assert "NOT_FOUND" not in done.stderr


def test_the_bundle_is_the_commit(cloud, tmp_path):
    done = cloud.run("install", "--name=cnn-run", *PLACE)
    assert done.returncode == 0, done.stderr
    bundle = cloud.checkout / "build" / "tpu" / "cnn-run.bundle"
    clone = ["git", "-C", str(tmp_path / "clone")]
    for words in (["init", "-q"], ["fetch", "-q", str(bundle), "HEAD"], ["checkout", "-q", "FETCH_HEAD"]):
        (tmp_path / "clone").mkdir(exist_ok=True)
        subprocess.run([*clone, *words], check=True)
    heads = [
        subprocess.run(["git", "rev-parse", "HEAD"], cwd=folder, capture_output=True, check=True).stdout
        for folder in (cloud.checkout, tmp_path / "clone")
    ]
    assert heads[0] == heads[1]
    assert (tmp_path / "clone" / "scripts" / "tpu" / "worker.sh").exists()


# Each: what gcloud answers, the steps that follow, and what is told. A slice that was asked for is always deleted.
NEW = ["describe", [ABSENT, state("ACTIVE")]]
FAILURES = {
    "quota": (
        [
            ["create", [{"err": "ERROR: Quota limit 'TPUV5sLitepodPerProjectPerZone' has been exceeded.", "code": 1}]],
            NEW,
        ],
        ["describe", "create", "delete"],
        ("creating the slice failed (exit code 1)", "Quota limit", "ask for quota"),
    ),
    "api": (
        [["create", [{"err": "Cloud TPU API has not been used in project 1 before", "code": 1}]], NEW],
        ["describe", "create", "delete"],
        ("gcloud services enable tpu.googleapis.com",),
    ),
    "failed": (
        [["describe", [ABSENT, state("FAILED", failedData={"error": {"message": "no room"}})]]],
        [*COMING, "delete"],
        ("did not come: FAILED", "no room"),
    ),
    "taken": (
        [["describe", [ABSENT, state("PROVISIONING"), state("SUSPENDED")]]],
        [*COMING, "describe", "delete"],
        ("did not come: SUSPENDED",),
    ),
    "nonsense": ([["describe", [ABSENT, {"out": "hello"}]]], [*COMING, "delete"], ("not understood: 'hello'",)),
    "copy": ([NEW, ["scp", [LOST]]], [*COMING, "scp", "delete"], ("copying the checkout failed (exit code 255)",)),
    "install": (
        [NEW, ["worker.sh install", [{"err": "worker 3: no space left on device", "code": 1}]]],
        [*COMING, "scp", "install", "delete"],
        ("installing on every worker failed", "worker 3: no space left"),
    ),
    "launch": (
        [NEW, ["worker.sh launch", [{"err": "host-1: a run is under way", "code": 1}]]],
        [*UP, "stop", "delete"],
        ("launching on every worker failed", "a run is under way"),
    ),
    "lost": (
        [NEW, ["worker.sh follow", [LOST]], ["worker.sh state", [LOST]]],
        [*UP, *["follow", "state", "describe"] * 6, "stop", "delete"],
        ("no connection to every worker, 6 times in a row",),
    ),
    "foreign": (
        [NEW, ["worker.sh state", [{"out": "hm\n"}]]],
        [*UP, "follow", "state", "stop", "delete"],
        ("states were not understood: 'hm'",),
    ),
}


@pytest.mark.parametrize("case", FAILURES)
def test_a_step_that_fails_leaves_nothing(cloud, case):
    answers, steps, told = FAILURES[case]
    cloud.answers(*answers)
    done = cloud.run("run", *SLICE, *WORDS)
    assert done.returncode == 1, done.stderr
    assert cloud.steps == steps
    for text in told:
        assert text in done.stderr
    assert cloud.calls[-1] == DELETE


def test_waiting_is_bounded(cloud):
    cloud.answers(["describe", [ABSENT, state("WAITING_FOR_RESOURCES")]])
    done = cloud.run("create", *SLICE, "--wait_minutes=0")
    assert done.returncode == 1
    assert cloud.steps == [*COMING, "delete"]
    assert "did not come in 0 min, it is WAITING_FOR_RESOURCES" in done.stderr


@pytest.mark.parametrize(
    ("codes", "code"), [((0, 0), 0), ((1, 0), 1), ((2, 2), 2), ((137, "running"), 1), ((75, 2), 2)]
)
def test_exit_codes_that_are_not_repeated(cloud, codes, code):
    cloud.answers(NEW, ["worker.sh state", [workers(*codes)]])
    done = cloud.run("run", *SLICE, *WORDS)
    assert done.returncode == code, done.stderr
    assert cloud.steps == [*UP, "follow", "state", "delete"]


@pytest.mark.parametrize("codes", [(75, 75), (75, 1), ("died", "running"), ("none", "running")])
def test_a_stopped_run_goes_on_where_the_slice_is_left(cloud, codes):
    cloud.answers(NEW, ["worker.sh state", [workers(*codes), workers(0, 0)]])
    done = cloud.run("run", *SLICE, *WORDS)
    assert done.returncode == 0, done.stderr
    again = ["describe", "stop", "scp", "install", "launch", "follow", "state", "delete"]
    assert cloud.steps == [*UP, "follow", "state", *again]
    launches = [call for call in cloud.calls if "launch train" in " ".join(call)]
    assert launches[0] == launches[1]
    assert "restart 1 of 10 at most" in done.stderr


def test_a_preempted_run_goes_on_on_a_new_slice(cloud):
    described = [ABSENT, state("ACTIVE"), state("SUSPENDED"), state("SUSPENDED"), state("ACTIVE")]
    cloud.answers(
        ["describe", described],
        ["worker.sh follow", [{"out": "epoch 1\n", **LOST}, {"out": "epoch 2\n"}]],
        ["worker.sh state", [LOST, workers(0, 0)]],
    )
    done = cloud.run("run", *SLICE, "--spot", *WORDS)
    assert done.returncode == 0, done.stderr
    again = ["describe", "delete", "create", "describe", "scp", "install", "launch", "follow", "state", "delete"]
    assert cloud.steps == [*UP, "follow", "state", "describe", *again]
    assert "SUSPENDED: it was taken away" in done.stderr
    assert done.stdout == "epoch 1\nepoch 2\n"


def test_a_lost_connection_is_made_again(cloud):
    cloud.answers(
        NEW,
        ["worker.sh follow", [{"out": "epoch 1\n"}, {"out": "ep", **LOST}, {"out": "och 2\n"}]],
        ["worker.sh state", [workers("running"), workers("running"), workers(0)]],
    )
    done = cloud.run("run", *SLICE, *WORDS)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "epoch 1\nepoch 2\n"
    offsets = [call[-2].split()[3] for call in cloud.calls if "worker.sh follow" in call[-2]]
    assert offsets == ["0", "8", "10"]


def test_restarts_are_bounded(cloud):
    cloud.answers(NEW, ["worker.sh state", [workers(75)]])
    done = cloud.run("run", *SLICE, "--max_restarts=2", *WORDS)
    assert done.returncode == 75
    assert cloud.steps.count("launch") == 3
    assert cloud.steps[-1] == "delete"
    assert "stopped 3 times" in done.stderr


def test_a_slice_that_cannot_be_deleted_is_told_loudly(cloud):
    cloud.answers(NEW, ["delete", [{"err": "INTERNAL", "code": 1}]], ["install", [{"err": "no space", "code": 1}]])
    done = cloud.run("run", *SLICE, *WORDS)
    assert done.returncode == 1
    assert cloud.steps[-3:] == ["delete"] * 3
    assert "installing on every worker failed" in done.stderr
    loud, _, by_hand = done.stderr.partition("NOT DELETED: cnn-run in us-west4-a may still be there, AND BILL.")
    assert loud
    assert pasted(by_hand.partition("\n\n")[2]) == DELETE


def test_a_delete_that_fails_once_is_tried_again(cloud):
    cloud.answers(["delete", [{"err": "UNAVAILABLE", "code": 1}, {}]])
    assert cloud.run("delete", *SLICE).returncode == 0
    assert cloud.calls == [DELETE, DELETE]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("verb", ["run", "create"])
def test_a_signal_while_it_waits_gives_the_slice_back(cloud, number, verb):
    cloud.answers(
        ["describe", [ABSENT, {**state("PROVISIONING"), "until": "never"}]], ["delete", [{"until": "deleted"}]]
    )
    process = cloud.start(verb, *SLICE, *(WORDS if verb == "run" else ()))
    cloud.wait_for("create")
    process.send_signal(number)
    wait_until(lambda: "delete" in cloud.steps or process.poll() is not None, "the deletion")
    process.send_signal(number)  # a second one does not keep it from that
    (cloud.folder / "deleted").touch()
    _, err = process.communicate(timeout=600)
    assert process.returncode == 75, err
    assert cloud.steps == [*COMING, "delete"]
    assert cloud.calls[-1] == DELETE
    assert f"stopped by {number.name}" in err
    assert not cloud.left()


def test_a_signal_while_a_command_starts_ends_it(monkeypatch):
    started, start = [], subprocess.Popen

    def started_with_a_signal(*words, **options):
        started.append(start(*words, **options))
        os.kill(os.getpid(), signal.SIGTERM)
        return started[0]

    monkeypatch.setattr(subprocess, "Popen", started_with_a_signal)
    runner = Runner()
    try:
        with pytest.raises(Interrupted, match="SIGTERM"), supervise.signals(runner):
            runner.run(["sleep", "3600"], 3600)
        assert started[0].returncode == -signal.SIGTERM
    finally:
        started[0].kill()


def test_a_signal_while_it_follows_stops_the_run_first(cloud):
    cloud.answers(NEW, ["worker.sh follow", [{"out": "epoch 1\n", "until": "never"}]])
    process = cloud.start("run", *SLICE, *WORDS)
    cloud.wait_for("follow")
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=600)
    assert process.returncode == 75, err
    assert out == "epoch 1\n"
    assert cloud.steps == [*UP, "follow", "stop", "delete"]
    assert not cloud.left()


def test_keep_keeps_and_says_what_deletes(cloud):
    cloud.answers(NEW, ["worker.sh state", [workers(1)]])
    done = cloud.run("run", *SLICE, "--keep", *WORDS)
    assert done.returncode == 1
    assert DELETE not in cloud.calls
    assert pasted(done.stderr.partition("bills until it is deleted:\n")[2]) == DELETE


@pytest.mark.parametrize("verb", ["run", "create"])
def test_a_slice_that_is_there_already_is_left_alone(cloud, verb):
    cloud.answers(["describe", [state("ACTIVE")]])
    done = cloud.run(verb, *SLICE, *(WORDS if verb == "run" else ()))
    assert done.returncode == 2
    assert cloud.steps == ["describe"]
    assert "there is a slice 'cnn-run' already, ACTIVE; resume takes it up" in done.stderr


def test_resume_follows_what_runs(cloud):
    cloud.answers(["describe", [state("ACTIVE")]], ["worker.sh state", [workers("running"), workers(0)]])
    assert cloud.run("resume", *SLICE, *WORDS).returncode == 0
    assert cloud.steps == ["describe", "state", "follow", "state", "delete"]


def test_resume_starts_again_what_was_stopped(cloud):
    cloud.answers(["describe", [state("ACTIVE")]], ["worker.sh state", [workers(75), workers(0)]])
    assert cloud.run("resume", *SLICE, *WORDS).returncode == 0
    assert cloud.steps == ["describe", "state", "stop", "scp", "install", "launch", "follow", "state", "delete"]


@pytest.mark.parametrize("name", ["SUSPENDED", "FAILED"])
def test_resume_gets_a_new_slice(cloud, name):
    cloud.answers(["describe", [state(name), state("ACTIVE")]], ["worker.sh state", [workers(0)]])
    assert cloud.run("resume", *SLICE, *WORDS).returncode == 0
    new = ["delete", "create", "describe", "scp", "install", "launch"]
    assert cloud.steps == ["describe", *new, "follow", "state", "delete"]


def test_the_single_verbs(cloud):
    cloud.answers(["describe", [state("ACTIVE")]], ["worker.sh state", [workers("running", 0)]])
    done = cloud.run("status", *SLICE)
    assert done.stdout == "ACTIVE: it is there, and bills until it is deleted\nworker host-0 running\nworker host-1 0\n"
    assert cloud.run("launch", *SLICE, "--", "train", "--config=experiments/a.py").returncode == 0
    assert cloud.calls[-1] == ssh("all", "sh worker.sh launch train --config=experiments/a.py")
    cloud.answers(["worker.sh state", [workers("none", "none")]])
    assert "nothing was launched" in cloud.run("logs", *SLICE).stderr
    cloud.answers(["worker.sh state", [workers(75, 75)]])
    assert cloud.run("logs", *SLICE).returncode == 75


def test_a_launch_that_fails_on_one_worker_stops_the_others(cloud):
    cloud.answers(["worker.sh launch", [{"code": 1}]])
    assert cloud.run("launch", *SLICE, *WORDS).returncode == 1
    assert cloud.steps == ["launch", "stop"]


def test_a_cloud_that_does_not_answer_once_is_asked_again(cloud):
    cloud.answers(["describe", [ABSENT, {"err": "UNAVAILABLE", "code": 1}, state("ACTIVE")]])
    assert cloud.run("create", *SLICE).returncode == 0
    assert cloud.steps == [*COMING, "describe"]
