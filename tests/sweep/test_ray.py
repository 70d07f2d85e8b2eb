"""The same sweeps on a Ray of this machine with two places."""

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
from pathlib import Path

import pytest
from moments import Moment, parent

from sweep import planted
from sweep.test_sweep import ROOT, TRIAL, WORKER, command, figures, run, swept, table

RAY = ("--engine=ray", "--jobs=2")
FEW = 'product({"optimizer.learning_rate": [1e-2, 1e-1]}, repeat_seeds(2))'


@pytest.fixture(scope="module")
def by_local(tmp_path_factory, line_data):
    """Four trials on one core each, by the local engine, and their experiment file."""
    return swept(tmp_path_factory.mktemp("local"), line_data, FEW, f"--jobs={cores()}", "--noreport")


def cores() -> int:
    return len(os.sched_getaffinity(0))


def statuses(workdir: Path) -> list[dict[str, object]]:
    """How the trials stand; a finished one has it in its provenance.json."""
    running = [json.loads(path.read_text()) for path in workdir.glob("trials/*/status.json")]
    made_by = [json.loads(path.read_text()) for path in workdir.glob("trials/*/provenance.json")]
    return running + [each["attempt"] for each in made_by if each["attempt"]]


def check_that_ray_keeps_to_itself(driver: int) -> None:
    """Checks that the processes of a sweep listen to this machine alone, and that others cannot enter their folder."""
    started = descendants(driver)
    commands = [Path(f"/proc/{pid}/cmdline").read_bytes().decode() for pid in started]
    (own,) = {found[0] for text in commands if (found := re.search(r"/[^\0,= ]*/cnn_jax-\w+(?=/ray)", text))}
    assert os.stat(own).st_mode & 0o777 == 0o700
    inodes = {file for pid in started for file in open_files(pid)}
    listening = []
    for family in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{family}").read_text().splitlines()[1:]:
            _, local, _, state, *_ = words = line.split()
            if state == "0A" and f"socket:[{words[9]}]" in inodes:
                listening.append(local.rpartition(":")[0])
    assert len(listening) >= 3  # the control store, the node and workers
    loopback = ("0100007F", "00000000000000000000000001000000", "0000000000000000FFFF00000100007F")
    assert set(listening) <= set(loopback)


def open_files(pid: int) -> list[str]:
    """Lists the open files of a process; none for one that has just ended."""
    files = []
    with contextlib.suppress(FileNotFoundError):
        for link in Path(f"/proc/{pid}/fd").iterdir():
            files.append(os.readlink(link))
    return files


def descendants(pid: int) -> list[int]:
    """The processes that a process has started, and that these have started."""
    found = [pid]
    parents = {}
    for folder in Path("/proc").iterdir():
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            if folder.name.isdigit():
                parents[int(folder.name)] = parent(int(folder.name))
    for each in found:
        found += [child for child, its_parent in parents.items() if its_parent == each]
    return found[1:]


def test_a_killed_ray_worker_and_a_killed_driver_change_nothing(by_local, tmp_path):
    """Ray and the local engine come to the same, disturbed or not: three of the four trials run on."""
    file, reference = by_local
    workdir = tmp_path / "sweep"
    words = (f"--config={file}", f"--workdir={workdir}", *RAY, "--noreport")
    # When the first trial has a record: its Ray process dies, or the driver.
    for victim in ("ray", "driver"):
        moment = Moment(tmp_path / victim, WORKER, lines=1, **TRIAL)
        with subprocess.Popen(
            command(*words), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=moment.environment
        ) as driver:
            trainer = moment.wait(driver)
            if victim == "ray":
                check_that_ray_keeps_to_itself(driver.pid)
            os.kill(parent(trainer) if victim == "ray" else driver.pid, signal.SIGKILL)
            moment.release()
            if victim == "ray":
                assert driver.wait(timeout=600) == 0, "a trial whose Ray process is lost begins again"
                assert figures(workdir) == figures(reference)
                shutil.rmtree(workdir)
    done = run(*words[:-1])
    assert done.returncode == 0, done.stdout + done.stderr
    assert figures(workdir) == figures(reference)
    assert {status["engine"] for status in statuses(workdir)} == {"ray"}
    assert {row["status"] for row in table(workdir)} == {"done"}
    assert (workdir / "report" / "index.html").exists()
    assert "4 done; 0 to run" in run(*words).stdout


def test_faults_stay_with_their_trials(write_experiment, tmp_path):
    hooks = tmp_path / "hooks"
    hooks.mkdir()
    shutil.copy(planted.__file__, hooks / "sitecustomize.py")
    seeds = [planted.CRASH, planted.HANG, planted.MEMORY]
    file = write_experiment(
        "Sweep([{'seed': 0}, {'optimizer': {'name': 'sgd', 'learning_rate': 3e38}}, "
        f"*({{'seed': seed}} for seed in {seeds}), {{'model.kernel_size': 12}}, {{'seed': 1}}], skip_infeasible=True)"
    )
    workdir = tmp_path / "sweep"
    words = (f"--config={file}", f"--workdir={workdir}", *RAY, "--time_limit=30", "--memory_limit=2", "--noreport")
    done = run(*words, env={**os.environ, "PYTHONPATH": f"{hooks}{os.pathsep}{ROOT}"})
    assert done.returncode == 1, done.stdout + done.stderr
    assert [(row["status"], row["fault"]) for row in table(workdir)] == [
        ("done", ""),
        ("failed", "diverged"),
        ("failed", "crash"),
        ("failed", "hang"),
        ("failed", "memory"),
        ("infeasible", ""),
        ("done", ""),
    ]


def test_ctrl_c_saves_and_the_same_command_goes_on(by_local, tmp_path):
    file, reference = by_local
    words = (f"--config={file}", f"--workdir={tmp_path / 'sweep'}", *RAY, "--noreport")
    # The first trial waits after its first record, the second passes by, the third waits: others have not begun.
    moment = Moment(tmp_path / "moment", WORKER, which=(0, 2), lines=1, **TRIAL)
    with subprocess.Popen(
        command(*words), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=moment.environment
    ) as driver:
        assert driver.stdout is not None
        moment.wait(driver, processes=3)
        while "done accuracy" not in driver.stdout.readline():
            assert driver.poll() is None
        driver.send_signal(signal.SIGINT)
        moment.release()
        assert driver.wait(timeout=600) == 75
    assert "running" not in {status["status"] for status in statuses(tmp_path / "sweep")}
    done = run(*words)
    assert done.returncode == 0, done.stderr
    assert figures(tmp_path / "sweep") == figures(reference)


@pytest.mark.parametrize("trials", [1, pytest.param(2, marks=pytest.mark.exhaustive)])
def test_trials_of_two_processes(by_local, tmp_path, trials):
    file, reference = by_local
    workdir = tmp_path / "sweep"
    words = ("--engine=ray", "--jobs=1", "--processes=2", "--noreport", f"--sweep.limit={trials}")
    done = run(f"--config={file}", f"--workdir={workdir}", *words)
    assert done.returncode == 0, done.stdout + done.stderr
    ours, theirs = figures(workdir), figures(reference)
    assert len(ours) == trials
    for name, records in ours.items():
        provenance = json.loads((workdir / "trials" / name / "provenance.json").read_text())
        assert provenance["devices"]["count"] == 2
        assert (workdir / "trials" / name / "log-1.txt").exists()
        last, reference_last = records[-1]["values"], theirs[name][-1]["values"]
        # The two halves of a batch are summed apart: float32 rounding, grown over 20 steps of Adam.
        assert last["loss"] == pytest.approx(reference_last["loss"], rel=1e-3)


def test_needs_are_for_ray_alone(by_local, tmp_path):
    file, _ = by_local
    done = run(f"--config={file}", f"--workdir={tmp_path / 'sweep'}", "--gpus=1")
    assert done.returncode == 2
    assert "--gpus: is for --engine=ray" in done.stderr
