"""Sweeps as a user runs them, by the command: disturbed, faulty, repeated, handed on."""

import csv
import json
import os
import random
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from moments import Moment

from sweep import planted
from sweep.experiment_with_sweep import HEAD, RATES

ROOT = Path(__file__).parents[2]
WORKER = "cnn_jax.sweep.worker"
TRIAL = {"opened": "/metrics.jsonl", "mode": "a"}  # when a worker begins to train a trial


def command(*words: object) -> list[str]:
    return [sys.executable, str(ROOT / "launch.py"), "sweep", *map(str, words)]


def run(*words: object, **more: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command(*words), capture_output=True, text=True, timeout=1200, check=False, **more)


def table(workdir: Path) -> list[dict[str, str]]:
    with (workdir / "table.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def figures(workdir: Path) -> dict[str, list[object]]:
    """All that every trial has measured, but for times."""
    found = {}
    for metrics in workdir.glob("trials/*/metrics.jsonl"):
        records = [json.loads(line) for line in metrics.read_text().splitlines()]
        for record in records:
            for time_ in ("seconds", "images_per_second"):
                record["values"].pop(time_, None)
        found[metrics.parent.name] = records
    return found


def swept(folder: Path, line_data: dict[str, object], sweep: str, *words: str) -> tuple[Path, Path]:
    """Runs a sweep to its end; gives its experiment file and its folder."""
    file, workdir = folder / "experiment.py", folder / "sweep"
    file.write_text(HEAD.format(data=line_data, sweep=sweep))
    done = run(f"--config={file}", f"--workdir={workdir}", *words)
    assert done.returncode == 0, done.stdout + done.stderr
    return file, workdir


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory, line_data):
    """A sweep of 24 trials that ran to its end, and its experiment file."""
    return swept(tmp_path_factory.mktemp("undisturbed"), line_data, RATES, "--jobs=1")


def test_every_trial_is_done_and_told(undisturbed):
    _, workdir = undisturbed
    rows = table(workdir)
    assert len(rows) == 24
    assert {row["status"] for row in rows} == {"done"}
    assert len({row["optimizer.learning_rate"] for row in rows}) == 6
    for row in rows:
        result = json.loads((workdir / "trials" / row["id"] / "result.json").read_text())
        assert float(row["test_accuracy"]) == result["test_accuracy"]
    assert (workdir / "report" / "index.html").exists()
    files = "checkpoints.zip config.json dataset.json log.txt metrics.jsonl provenance.json result.json"  # no events
    for row in rows:
        assert sorted(path.name for path in (workdir / "trials" / row["id"]).rglob("*")) == files.split()


@pytest.mark.parametrize("kills", [3, pytest.param(6, marks=pytest.mark.exhaustive)])
def test_killed_drivers_and_trials_change_nothing(undisturbed, tmp_path, kills):
    file, reference = undisturbed
    words = (f"--config={file}", f"--workdir={tmp_path / 'sweep'}", "--jobs=1", "--noreport")
    rng = random.Random(0)
    # The driver dies while its worker starts, at some event of that; then while a worker trains its first to fourth
    # trial, at some call of a function after some record, so that the drivers leave trials of the 24. Then a worker
    # dies.
    starting = {"events": rng.randrange(1, 2000)}
    training = [
        TRIAL | {"nth": rng.randrange(1, 5), "lines": rng.randrange(4), "calls": rng.randrange(500)}
        for _ in range(kills - 1)
    ]
    for number, when in enumerate([starting, *training]):
        moment = Moment(tmp_path / str(number), WORKER, **when)
        with subprocess.Popen(command(*words), stdout=subprocess.DEVNULL, env=moment.environment) as driver:
            worker = moment.wait(driver)
            victim = worker if number == kills - 1 else driver.pid
            os.kill(victim, signal.SIGKILL)
            moment.release()
            expected = 0 if number == kills - 1 else -signal.SIGKILL
            assert driver.wait(timeout=600) == expected, "a trial killed from outside begins again"
    done = run(*words)
    assert done.returncode == 0, done.stdout + done.stderr
    assert figures(tmp_path / "sweep") == figures(reference)
    results = list((tmp_path / "sweep").glob("trials/*/result.json"))
    assert len(results) == 24
    before = {path: path.stat().st_mtime_ns for path in results}
    again = run(*words)
    assert "24 done; 0 to run" in again.stdout
    assert before == {path: path.stat().st_mtime_ns for path in results}


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="memory is watched where /proc tells it")
def test_faults_stay_with_their_trials(write_experiment, tmp_path):
    hooks = tmp_path / "hooks"
    hooks.mkdir()
    shutil.copy(planted.__file__, hooks / "sitecustomize.py")
    seeds = [planted.CRASH, planted.HANG, planted.MEMORY, planted.OOM_EXCEPTION]
    file = write_experiment(
        "Sweep([{'seed': 0}, {'optimizer': {'name': 'sgd', 'learning_rate': 3e38}}, "
        f"*({{'seed': seed}} for seed in {seeds}), {{'model.kernel_size': 12}}, {{'seed': 1}}], skip_infeasible=True)"
    )
    workdir = tmp_path / "sweep"
    words = (
        f"--config={file}",
        f"--workdir={workdir}",
        "--jobs=1",
        "--time_limit=30",
        "--memory_limit=2",
        "--noreport",
    )
    done = run(*words, env={**os.environ, "PYTHONPATH": f"{hooks}{os.pathsep}{ROOT}"})
    assert done.returncode == 1, done.stdout + done.stderr
    rows = table(workdir)
    assert [(row["status"], row["fault"]) for row in rows] == [
        ("done", ""),
        ("failed", "diverged"),
        ("failed", "crash"),
        ("failed", "hang"),
        ("failed", "memory"),
        ("failed", "memory"),
        ("infeasible", ""),
        ("done", ""),
    ]
    assert "try a lower config.optimizer.learning_rate" in rows[1]["message"]
    assert "SIGSEGV" in rows[2]["message"]
    assert "about to crash" in rows[2]["log_tail"]
    assert "--time_limit" in rows[3]["message"]
    assert "--memory_limit" in rows[4]["message"]
    assert "config.model: layer conv1" in rows[6]["message"]
    # Failed trials run again only where that is asked for, here without what made them fail.
    assert "0 to run" in run(*words).stdout
    again = run(*words, "--retry-failed")
    assert [row["status"] for row in table(workdir)] == ["done", "failed", *["done"] * 4, "infeasible", "done"], again


def test_a_typo_stops_everything_at_once(write_experiment, tmp_path):
    file = write_experiment("[{'seed': n} for n in range(22)] + [{'model.paddin': 1}, {'seed': 30}]")
    training = Moment(tmp_path / "training", WORKER, **TRIAL)
    done = run(f"--config={file}", f"--workdir={tmp_path / 'sweep'}", env=training.environment)
    assert done.returncode == 2
    assert "trial 23 of 24 (model.paddin=1): config.model.paddin: unknown field" in done.stderr
    assert not (tmp_path / "sweep").exists()
    assert not training.processes, "nothing is trained"


def test_a_geometry_that_cannot_be_is_refused_unless_declared(write_experiment, tmp_path):
    file = write_experiment("[{'seed': 0}, {'model.kernel_size': 12}]")
    done = run(f"--config={file}", f"--workdir={tmp_path / 'sweep'}")
    assert done.returncode == 2
    assert "trial 2 of 2 (model.kernel_size=12): config.model: layer conv1" in done.stderr
    assert "skip_infeasible=True" in done.stderr
    assert not list((tmp_path / "sweep").glob("trials/*"))


def test_ctrl_c_saves_and_the_same_command_goes_on(undisturbed, tmp_path):
    file, reference = undisturbed
    words = (f"--config={file}", f"--workdir={tmp_path / 'sweep'}", "--jobs=1", "--sweep.limit=4", "--noreport")
    second = Moment(tmp_path / "second", WORKER, nth=2, lines=1, **TRIAL)
    with subprocess.Popen(command(*words), stdout=subprocess.PIPE, text=True, env=second.environment) as driver:
        second.wait(driver)
        driver.send_signal(signal.SIGINT)
        second.release()
        said, _ = driver.communicate(timeout=600)
    assert driver.returncode == 75
    assert "done accuracy" in said
    done = run(*words)
    assert done.returncode == 0, done.stderr
    ours, whole = figures(tmp_path / "sweep"), figures(reference)
    assert len(ours) == 4
    assert all(whole[name] == records for name, records in ours.items())


def test_a_second_driver_is_refused(undisturbed, tmp_path):
    import filelock

    file, _ = undisturbed
    (tmp_path / "sweep").mkdir()
    with filelock.FileLock(tmp_path / "sweep" / ".lock"):
        done = run(f"--config={file}", f"--workdir={tmp_path / 'sweep'}")
    assert done.returncode == 2
    assert "another process runs a sweep" in done.stderr


def test_finished_trials_come_to_the_same_again(undisturbed):
    file, workdir = undisturbed
    done = run(f"--config={file}", f"--workdir={workdir}", "--verify=3")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "3 trials repeated: 3 match bit for bit, 0 within the tolerance, 0 do not" in done.stdout


def test_verify_sees_a_figure_that_is_not_the_same(undisturbed, tmp_path):
    file, reference = undisturbed
    shutil.copytree(reference, tmp_path / "sweep", symlinks=True)
    metrics = sorted((tmp_path / "sweep").glob("trials/*/metrics.jsonl"))
    for path in metrics:
        lines = path.read_text().splitlines()
        record = json.loads(lines[-1])
        record["values"]["loss"] += 1e-12
        path.write_text("\n".join([*lines[:-1], json.dumps(record)]) + "\n")
    done = run(f"--config={file}", f"--workdir={tmp_path / 'sweep'}", "--verify=1")
    assert done.returncode == 1
    assert "differs, held bit for bit: test loss at step" in done.stdout


def test_another_laboratory_repeats_it(undisturbed, tmp_path):
    file, workdir = undisturbed
    exported = tmp_path / "sweep.json"
    assert run(f"--config={file}", f"--workdir={workdir}", f"--export={exported}").returncode == 0
    words = (f"--from={exported}", f"--workdir={tmp_path / 'theirs'}", "--sweep.only=optimizer.learning_rate=0.03")
    done = run(*words, "--noreport")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("matches") == 4
    assert "--from: " in run("--from=" + str(file)).stderr


FAILING_REPORT = """
import sys
if "cnn_jax.report.sweep_writer" in sys.orig_argv:
    from cnn_jax.report import sweep_report

    def fails(folder):
        raise ZeroDivisionError("a bug in the report")

    sweep_report.write_sweep_report = fails
"""


def test_two_jobs_keep_to_their_cores_and_a_failing_report_to_itself(write_experiment, tmp_path):
    file = write_experiment("repeat_seeds(4)")
    (tmp_path / "hooks").mkdir()
    (tmp_path / "hooks" / "sitecustomize.py").write_text(FAILING_REPORT)
    words = (f"--config={file}", f"--workdir={tmp_path / 'sweep'}", "--jobs=2")
    done = run(*words, env={**os.environ, "PYTHONPATH": f"{tmp_path / 'hooks'}{os.pathsep}{ROOT}"})
    assert done.returncode == 0, done.stderr
    assert "warning: the report could not be written: ZeroDivisionError: a bug in the report" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr
    assert "Traceback" in (tmp_path / "sweep" / "report.log").read_text()
    assert {row["status"] for row in table(tmp_path / "sweep")} == {"done"}
    made_by = [json.loads(path.read_text()) for path in (tmp_path / "sweep").glob("trials/*/provenance.json")]
    statuses = [each["attempt"] for each in made_by]
    assert len(statuses) == 4
    available = len(os.sched_getaffinity(0))
    assert {status["cores"] for status in statuses} <= {max(1, available // 2), available - available // 2}
    assert {status["status"] for status in statuses} == {"done"}
