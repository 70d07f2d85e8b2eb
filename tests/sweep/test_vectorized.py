"""The seeds of a point in one program, by the command; tests/train/test_together.py has the figures."""

import json
import os
import signal
import subprocess

import pytest
from moments import Moment

from sweep.test_sweep import TRIAL, WORKER, command, figures, run, swept, table

FEW = 'product({"optimizer.learning_rate": [1e-2, 3e-2]}, repeat_seeds(3))'


@pytest.fixture(scope="module")
def vectorized(tmp_path_factory, line_data):
    """Two points with three seeds each, and their experiment file."""
    return swept(tmp_path_factory.mktemp("vectorized"), line_data, FEW, "--vectorize=seeds", "--noreport")


def test_the_seeds_of_a_point_are_trained_together(vectorized):
    _, workdir = vectorized
    rows = table(workdir)
    assert [(row["status"], row["trained_together"]) for row in rows] == [("done", "3")] * 6
    assert len({row["test_loss"] for row in rows}) == 6
    for row in rows:
        folder = workdir / "trials" / row["id"]
        assert json.loads((folder / "config.json").read_text())["seed"] == int(row["seed"])
        assert "epoch 2/2" in (folder / "log.txt").read_text()


def test_kills_and_stops_change_nothing(vectorized, tmp_path):
    file, reference = vectorized
    words = (f"--config={file}", f"--workdir={tmp_path / 'sweep'}", "--vectorize=seeds", "--noreport")
    # After the second record of the second of the first point's seeds.
    for number, code in ((signal.SIGKILL, -signal.SIGKILL), (signal.SIGINT, 75)):
        moment = Moment(tmp_path / number.name, WORKER, nth=2, lines=2, **TRIAL)
        with subprocess.Popen(command(*words), stdout=subprocess.DEVNULL, env=moment.environment) as driver:
            moment.wait(driver)
            os.kill(driver.pid, number)
            moment.release()
            assert driver.wait(timeout=600) == code
    done = run(*words)
    assert done.returncode == 0, done.stdout + done.stderr
    assert figures(tmp_path / "sweep") == figures(reference)


def test_alone_they_match_within_the_tolerance(vectorized):
    file, workdir = vectorized
    done = run(f"--config={file}", f"--workdir={workdir}", "--verify=1")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "matches within the tolerance (trained together with 2 and with 0 others" in done.stdout


def test_by_ray(vectorized, tmp_path):
    file, reference = vectorized
    words = ("--engine=ray", "--jobs=2", "--vectorize=seeds", "--noreport")
    done = run(f"--config={file}", f"--workdir={tmp_path / 'sweep'}", *words)
    assert done.returncode == 0, done.stdout + done.stderr
    for name, records in figures(tmp_path / "sweep").items():
        provenance = json.loads((tmp_path / "sweep" / "trials" / name / "provenance.json").read_text())
        assert provenance["trained_together"] == 3
        # One core in place of all: products may be split otherwise.
        assert records[-1]["values"]["loss"] == pytest.approx(figures(reference)[name][-1]["values"]["loss"], rel=1e-4)


def test_several_processes_of_a_trial_are_refused(vectorized, tmp_path):
    file, _ = vectorized
    words = ("--engine=ray", "--processes=2", "--vectorize=seeds")
    done = run(f"--config={file}", f"--workdir={tmp_path / 'sweep'}", *words)
    assert done.returncode == 2
    assert "--vectorize=seeds: a program of several seeds runs in one process" in done.stderr
