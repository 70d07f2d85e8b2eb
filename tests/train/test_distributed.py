"""Two processes of one run: the same end as one, stopped and resumed together, and lost together."""

import json
import os
import shutil
import signal
import socket
from pathlib import Path

import forced_devices
import pytest
from moments import Moment
from support import forked_launch, quick_programs
from support.forked_launch import Forked

FIRST = {"opened": "/metrics.jsonl", "mode": "a"}  # when the first process, which writes the records, begins to train


@pytest.fixture(scope="module")
def launch(tmp_path_factory, line_data):
    """Starts `launch.py train` in so many processes of two devices each."""
    file = tmp_path_factory.mktemp("launch") / "small.py"
    config = {
        "data": line_data,
        "model": {"features": (8,), "pooling": "max", "dense": (), "norm": "batch", "lowering": "xla"},
        "augment": {"shift": 1},
        "train": {"epochs": 3, "batch_size": 20, "eval_batch_size": 60, "steps_per_dispatch": 5},
        "log": {"tensorboard": False},
    }
    file.write_text(f"def get_config():\n    return {config!r}\n")

    def start(workdir: Path, count: int, *words: str, devices: int = 2, moment: Moment | None = None) -> list[Forked]:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        environment = forced_devices.environment(
            devices, quick_programs.environment(moment.environment if moment else os.environ)
        )
        started = []
        for number in range(count):
            group = ["--distributed=explicit", f"--coordinator=127.0.0.1:{port}", f"--num_processes={count}"]
            group = [*group, f"--process_id={number}"] if count > 1 else []
            command = ["train", f"--config={file}", f"--workdir={workdir}", "--noreport", *group, *words]
            started.append(forked_launch.launch(*command, environment=environment))
        return started

    return start


@pytest.fixture(scope="module")
def alone(launch, tmp_path_factory):
    """The folder of the same run by one process of one device."""
    workdir = tmp_path_factory.mktemp("alone") / "run"
    ((code, output),) = ends(launch(workdir, 1, devices=1))
    assert code == 0, output
    return workdir


def ends(started: list[Forked], timeout: float = 900) -> list[tuple[int, str]]:
    """Exit codes and outputs."""
    outputs = [each.communicate(timeout=timeout)[0] for each in started]
    return [(each.returncode, output) for each, output in zip(started, outputs, strict=True)]


def result(workdir: Path) -> dict[str, float]:
    return json.loads((workdir / "result.json").read_text())


def like(ours: dict[str, float], theirs: dict[str, float]) -> None:
    # Sums over images, and batch norm's statistics, are taken in another order: float32 rounding, which 75 steps of
    # Adam have grown; one image at most falls on the other side.
    assert ours["test_loss"] == pytest.approx(theirs["test_loss"], rel=1e-3)
    assert ours["test_accuracy"] == pytest.approx(theirs["test_accuracy"], abs=1 / 150 + 1e-9)


def test_two_processes_of_two_devices_train_as_one(launch, alone, tmp_path):
    pair = ends(launch(tmp_path / "two", 2, "--profile"))
    assert [code for code, _ in pair] == [0, 0], pair
    like(result(tmp_path / "two"), result(alone))
    lines = (tmp_path / "two" / "metrics.jsonl").read_text().splitlines()
    assert len(lines) == len((alone / "metrics.jsonl").read_text().splitlines())
    assert json.loads((tmp_path / "two" / "provenance.json").read_text())["devices"]["count"] == 4
    assert "test accuracy" in pair[0][1]
    assert "epoch" not in pair[1][1], "only the first tells"
    profile = tmp_path / "two" / "profile"
    assert json.loads((profile / "profile.json").read_text()) == {"first_step": 10, "steps": 10}
    assert len(list(profile.glob("plugins/profile/*/*.xplane.pb"))) == 1, "only the first traces"


@pytest.mark.parametrize("go_on", [((1, 1), (2, 2)), pytest.param(((4, 1),), marks=pytest.mark.exhaustive)])
def test_a_signal_to_one_stops_both_and_any_number_goes_on(launch, alone, tmp_path, go_on):
    moment = Moment(tmp_path / "moment", "launch.py", lines=1, **FIRST)
    started = launch(tmp_path / "two", 2, moment=moment)
    moment.wait(started[0])
    started[1].send_signal(signal.SIGTERM)
    moment.release()
    pair = ends(started)
    assert [code for code, _ in pair] == [75, 75], pair
    for count, devices in go_on:
        copy = tmp_path / f"on_{count}"
        shutil.copytree(tmp_path / "two", copy)
        resumed = ends(launch(copy, count, devices=devices))
        assert [code for code, _ in resumed] == [0] * count, resumed
        assert "resuming at step" in resumed[0][1]
        like(result(copy), result(alone))


def test_a_lost_process_ends_the_other(launch, tmp_path):
    moment = Moment(tmp_path / "moment", "launch.py", lines=1, **FIRST)
    started = launch(tmp_path / "two", 2, "--heartbeat_timeout=5", moment=moment)
    moment.wait(started[0])
    started[1].kill()
    started[1].wait()
    moment.release()
    (code, output), _ = ends(started)
    assert code not in (0, 75), output


def test_a_folder_that_cannot_be_used_is_refused_by_all(launch, tmp_path):
    (tmp_path / "foreign").mkdir()
    (tmp_path / "foreign" / "letter.txt").write_text("not a run")
    pair = ends(launch(tmp_path / "foreign", 2))
    assert [code for code, _ in pair] == [2, 1], pair
    assert "is not a run's folder" in pair[0][1]
    assert "its own message says why" in pair[1][1]
