"""Reads below Python that fail, of checkpoints by TensorStore above all: nothing is lost, and nothing is half-read.

`failed_reads.c` is compiled here and preloaded into a process that gives a command again and again, with another read
failing each time. `make test-faults` takes every read, the suite some of them.
"""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import failed_reads
import pytest
from support import quick_programs

from cnn_jax.cli import main as launch
from cnn_jax.run.metrics_log import MetricsLog, read_records

ROOT = Path(__file__).parent.parent
COMPILER = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="LD_PRELOAD and /proc are Linux's"),
    pytest.mark.skipif(COMPILER is None, reason="there is no C compiler (cc, gcc or clang)"),
]
EXPERIMENT = """
def get_config():
    return {{
        "data": {data!r},
        "model": {{"features": (4,), "pooling": ("max",), "dense": ()}},
        "train": {{"epochs": 3, "batch_size": 10, "eval_batch_size": 10}},
        "log": {{"every_steps": 4, "tensorboard": False}},
    }}
"""
TIMES = ("seconds", "images_per_second")


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    """The compiled library."""
    library = tmp_path_factory.mktemp("library") / "failed_reads.so"
    source = Path(failed_reads.__file__).with_suffix(".c")
    subprocess.run([COMPILER, "-shared", "-fPIC", "-o", library, source, "-ldl"], check=True)
    return library


@pytest.fixture(scope="module")
def experiment(tmp_path_factory, line_data):
    file = tmp_path_factory.mktemp("experiment") / "experiment.py"
    file.write_text(EXPERIMENT.format(data=line_data | {"train_examples": 60, "test_examples": 30}))
    return file


@pytest.fixture(scope="module")
def undisturbed(experiment, tmp_path_factory):
    """The folder of a run that nothing disturbed."""
    run = tmp_path_factory.mktemp("undisturbed") / "run"
    assert launch.main(["train", f"--config={experiment}", f"--workdir={run}", "--noreport"]) == 0
    return run


@pytest.fixture(scope="module")
def stopped(experiment, tmp_path_factory):
    """The folder of a run that SIGTERM stopped after two of three epochs."""
    run, write = tmp_path_factory.mktemp("stopped") / "run", MetricsLog.write

    def stop(log, record):
        write(log, record)
        if record.split == "test" and record.epoch == 2:
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(MetricsLog, "write", stop)
        assert launch.main(["train", f"--config={experiment}", f"--workdir={run}", "--noreport"]) == 75
    return run


def with_failing_reads(library, watched, every, source, folder, words):
    """Gives the command with each read failing; the last time none fails any more."""
    program = [sys.executable, failed_reads.__file__, watched, str(every), source, folder, *words]
    environment = quick_programs.environment(os.environ)
    environment |= {"LD_PRELOAD": str(library), "PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}"}
    done = subprocess.run(program, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    *told, last = [json.loads(line) for line in done.stdout.splitlines()]
    assert (last["code"], last["failed"]) == (0, 0)
    for case in told:
        code, said = case["code"], case["said"]
        assert case["failed"] >= 1
        assert code in (0, 1, 2), said
        assert "Traceback" not in said
        assert "Exception" not in said
        messages = [line for line in said.splitlines() if line.startswith(("refused: ", "failed: "))]
        assert len(messages) == (code != 0), said
        assert all("Input/output error" in line for line in messages)
        assert "Traceback" not in case["again"][1]
        assert case["again"][0] == 0, case["again"][1]
    return told


def outcome(run):
    def timeless(values):
        return {name: value for name, value in values.items() if name not in TIMES}

    return [record._replace(values=timeless(record.values)) for record in read_records(run / "metrics.jsonl")]


def test_a_resume(library, experiment, undisturbed, stopped, tmp_path, every):
    words = ["train", f"--config={experiment}", "--workdir={run}", "--noreport"]
    told = with_failing_reads(library, "{run}/", every, stopped, tmp_path, words)
    kept = {step: (stopped / "checkpoints" / step).is_dir() for step in ("6", "12")}
    assert kept["12"]
    for case in told:
        run = tmp_path / str(case["number"])
        assert not (run / "damaged_checkpoints").exists(), case
        assert "resuming at step 12" in case["said"] + case["again"][1]  # nothing starts anew
        assert outcome(run) == outcome(undisturbed), case
        if case["code"] and "/checkpoints/" in case["file"]:
            assert "checkpoint" in case["said"]
    codes = [case["code"] for case in told]
    assert codes[0] == 2
    assert set(codes) <= {0, 1, 2}
    below_python = [case for case in told if "/state/" in case["file"]]  # TensorStore's
    assert any(case["code"] for case in below_python)


def test_an_evaluation(library, undisturbed, tmp_path, every):
    told = with_failing_reads(library, "{run}/", every, undisturbed, tmp_path, ["eval", "--workdir={run}"])
    assert {case["code"] for case in told} <= {0, 2}
    assert any(case["code"] == 2 for case in told)
    for case in told:
        assert not (tmp_path / str(case["number"]) / "damaged_checkpoints").exists(), case
    losses = {re.search(r'"test_loss": .*', case["said"] + case["again"][1])[0] for case in told}
    assert len(losses) == 1


def test_records(library, records_folder, tmp_path, every):
    """Records are read by libraries in C++, descriptions by TFDS."""
    model = {"features": (2,), "pooling": ("max",), "dense": ()}
    data = {"name": "records", "folder": str(records_folder), "image_size": 8, "shorter_side": 8, "workers": 0}
    file = tmp_path / "experiment.py"
    train = {"epochs": 1, "batch_size": 27}
    raw = {"data": data, "model": model, "train": train, "log": {"tensorboard": False}}
    file.write_text(f"def get_config():\n    return {raw!r}\n")
    (tmp_path / "empty").mkdir()
    words = ["train", f"--config={file}", "--workdir={run}/run", "--noreport"]
    told = with_failing_reads(library, f"{records_folder}/", 3 * every, tmp_path / "empty", tmp_path, words)
    assert {case["code"] for case in told} == {0, 1, 2}
    assert not any("damaged" in case["said"] for case in told)
    assert any("array_record" in case["file"] and case["code"] == 1 for case in told)
    expected, *others = [outcome(tmp_path / str(case["number"]) / "run") for case in told]
    assert all(other == expected for other in others)
