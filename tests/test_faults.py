"""Runs on a full disk, with reads and writes that fail, and signals where nothing trains.

Each ends with one message and the contract's exit code, and the same command then ends as an undisturbed run. The
command trains in this process, so that its programs are compiled once. `make test-faults` takes every moment, the suite
some of them.
"""

import contextlib
import errno
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import killed_run
import pytest
from moments import Moment

from cnn_jax.cli import main as launch
from cnn_jax.run.metrics_log import MetricsLog, read_records

pytestmark = pytest.mark.usefixtures("programs_of_a_run")

ROOT = Path(__file__).parent.parent
EXPERIMENT = """
def get_config():
    return {{
        "data": {data!r} | {{"train_examples": 60, "test_examples": 30}},
        "model": {{"features": (4,), "pooling": ("max",), "dense": ()}},
        "train": {{"epochs": 3, "batch_size": 10}},
        "log": {{"every_steps": 4}},
    }}
"""
# Room on the disk in KiB, from none for config.json to all but the last checkpoint's.
LEVELS = (4, 16, 24, 32, 48, 64, 80, 96, 112, 128)


class Faults:
    """Audit hook of this process, which cannot be taken away again, and what it does to reads and writes."""

    def __init__(self):
        self.folder, self.number, self.seen, self.act = "", None, [], None
        sys.addaudithook(self._hear)

    def _hear(self, event, arguments):
        if not self.folder or event not in ("open", "os.rename", "os.mkdir", "os.listdir", "os.scandir"):
            return
        path = str(arguments[0])
        if not path.startswith(self.folder) or not self._counts(event, arguments):
            return
        self.seen.append(path)
        if len(self.seen) == self.number:
            self.act(path)

    def _counts(self, event, arguments):
        if event == "open":
            return self.writes == bool(re.search(r"[wax+]", str(arguments[1] or "")))
        return self.writes == (event in ("os.rename", "os.mkdir"))

    @contextlib.contextmanager
    def at(self, folder, number, act, writes=False):
        """Inside the `with` something is done at the nth read, or write, of a file in a folder."""
        self.writes, self.folder, self.number, self.seen, self.act = writes, str(folder), number, [], act
        try:
            yield self.seen
        finally:
            self.folder = ""


FAULTS = Faults()


def fail(path):
    raise OSError(errno.EIO, os.strerror(errno.EIO), path)


@pytest.fixture(scope="module")
def experiment(tmp_path_factory, line_data):
    file = tmp_path_factory.mktemp("faults") / "experiment.py"
    file.write_text(EXPERIMENT.format(data=line_data))
    return file


def train(experiment, workdir, capfd):
    """Trains; gives the exit code and what was said on standard error."""
    capfd.readouterr()
    code = launch.main(["train", f"--config={experiment}", f"--workdir={workdir}", "--noreport"])
    said = capfd.readouterr()
    assert "Traceback" not in said.out + said.err
    assert len(said.err.splitlines()) == (code != 0), said.err
    return code, said.err


def outcome(workdir):
    def timeless(values):
        return {name: value for name, value in values.items() if name not in ("seconds", "images_per_second")}

    return [record._replace(values=timeless(record.values)) for record in read_records(workdir / "metrics.jsonl")]


@pytest.fixture(scope="module")
def finished(experiment, tmp_path_factory):
    """The folder of a run that nothing disturbed, whose name has characters of a pattern."""
    run = tmp_path_factory.mktemp("undisturbed") / "run[1]"
    assert launch.main(["train", f"--config={experiment}", f"--workdir={run}", "--noreport"]) == 0
    return run


@pytest.fixture(scope="module")
def undisturbed(finished):
    return outcome(finished)


@pytest.fixture
def stopped(experiment, tmp_path, monkeypatch, capfd):
    """The folder of a run that SIGTERM stopped after two of three epochs."""
    write = MetricsLog.write

    def stop(log, record):
        write(log, record)
        if record.split == "test" and record.epoch == 2:
            os.kill(os.getpid(), signal.SIGTERM)

    with monkeypatch.context() as patched:
        patched.setattr(MetricsLog, "write", stop)
        assert launch.main(["train", f"--config={experiment}", f"--workdir={tmp_path}/run", "--noreport"]) == 75
    return tmp_path / "run"


def checkpoints(run):
    folder = run / "checkpoints"
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_an_error_at_any_read_changes_nothing(experiment, undisturbed, stopped, tmp_path, capfd, every):
    number, codes, kept = 0, [], checkpoints(stopped)
    while True:
        run = tmp_path / str(number)
        shutil.copytree(stopped, run)
        number += 1 if number < 2 else every
        with FAULTS.at(run, number, fail) as seen:
            code, said = train(experiment, run, capfd)
        assert not (run / "damaged_checkpoints").exists(), said
        if code:
            assert "Input/output error" in said
            assert "checkpoints" in said or "checkpoints" not in seen[number - 1]
            if code == 2:
                assert checkpoints(run) == kept
            assert train(experiment, run, capfd) == (0, "")
        assert outcome(run) == undisturbed
        codes.append(code)
        if len(seen) < number:
            break
    assert len(seen) > 10
    assert codes[0] == 2
    assert codes[-1] == 0


def test_an_error_at_any_write_keeps_the_state(experiment, undisturbed, tmp_path, capfd, every):
    number, codes = 0, []
    while True:
        run = tmp_path / str(number)
        number += 1 if number < 2 else every
        with FAULTS.at(run, number, fail, writes=True) as seen:
            code, said = train(experiment, run, capfd)
        assert not code or "Input/output error" in said
        assert train(experiment, run, capfd) == (0, "")
        assert outcome(run) == undisturbed
        codes.append(code)
        if len(seen) < number:
            break
    assert len(seen) > 20
    assert codes[0] == 2  # the folder cannot be made
    assert {1, 2} <= set(codes)


def test_a_kill_at_any_file_operation_loses_nothing(experiment, undisturbed, tmp_path, capfd, every):
    words = [sys.executable, killed_run.__file__, experiment, tmp_path, "100000" if every == 1 else "4"]
    paths = {"PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}"}
    done = subprocess.run(words, capture_output=True, text=True, check=False, env=os.environ | paths)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert len(told["operations"]) > 50
    codes = set()
    for number, code in told["codes"].items():
        run, killed_at = tmp_path / number, told["operations"][int(number) - 1]
        saved = {int(path.name) for path in run.glob("checkpoints/*") if path.name.isdigit()}
        codes.add(code)
        capfd.readouterr()
        again = launch.main(["train", f"--config={experiment}", f"--workdir={run}", "--noreport"])
        said = capfd.readouterr()
        assert (again, said.err) == (0, ""), killed_at
        assert outcome(run) == undisturbed, killed_at
        assert not (run / "damaged_checkpoints").exists(), killed_at
        if saved and code:
            assert f"resuming at step {max(saved)}" in said.out or "is done" in said.out, killed_at
    assert codes <= {-9, 0}  # the last ones may not come, for threads take turns in their own order
    assert -9 in codes


@pytest.mark.parametrize(
    "change",
    [
        lambda lines: lines[: len(lines) // 2],
        lambda lines: [],
        lambda lines: [line.replace('"accuracy": 0.', '"accuracy": 0.1') for line in lines],
        lambda lines: lines[1:],
    ],
)
def test_records_that_were_changed_are_refused_and_nothing_is_lost(experiment, undisturbed, stopped, capfd, change):
    path, kept = stopped / "metrics.jsonl", checkpoints(stopped)
    content = path.read_text()
    path.write_text("".join(change(content.splitlines(keepends=True))))
    changed = path.read_text()
    code, said = train(experiment, stopped, capfd)
    assert code == 2
    assert re.search(r"refused: --workdir: .*metrics.jsonl has .* records that checkpoint 12 was saved with: .*", said)
    assert (checkpoints(stopped), path.read_text()) == (kept, changed)
    path.write_text(content)
    assert train(experiment, stopped, capfd) == (0, "")
    assert outcome(stopped) == undisturbed


def test_changed_records_of_a_finished_run_make_no_report(finished, tmp_path, capfd):
    shutil.copytree(finished, tmp_path / "run")
    path = tmp_path / "run" / "metrics.jsonl"
    path.write_text(path.read_text().replace('"accuracy": 0.', '"accuracy": 0.1'))
    capfd.readouterr()
    assert launch.main(["report", f"--workdir={tmp_path}/run"]) == 2
    assert re.search(r"metrics.jsonl has others than the \d+ records", capfd.readouterr().err)


@pytest.mark.parametrize("change", [{"test_accuracy": 0.999}, {"test_loss": 0.0625}, {"step": 6}, {"step": 10**9}])
def test_a_changed_result_is_refused(experiment, finished, tmp_path, capfd, change):
    run = tmp_path / "run"
    shutil.copytree(finished, run)
    path = run / "result.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    code, said = train(experiment, run, capfd)
    assert code == 2
    assert re.search(r"result.json has test_\w+ .* and metrics.jsonl has .*: one of them was changed", said)
    assert launch.main(["report", f"--workdir={run}"]) == 2
    path.unlink()
    assert train(experiment, run, capfd) == (0, "")
    assert outcome(run) == outcome(finished)


FILES = ("config.json", "dataset.json", "provenance.json", "result.json", "metrics.jsonl", "checkpoints", "tensorboard")


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("content", [None, b"", b"{}", b'["a"]', b"\xff{"])
def test_a_file_of_another_kind_is_named(experiment, finished, tmp_path, capfd, name, content):
    run = tmp_path / "run"
    shutil.copytree(finished, run)
    (shutil.rmtree if (run / name).is_dir() else os.unlink)(run / name)
    if content is None:
        (run / name / "inside").mkdir(parents=True)
    else:
        (run / name).write_bytes(content)
    capfd.readouterr()
    code = launch.main(["eval", f"--workdir={run}"])
    said = capfd.readouterr()
    assert "Traceback" not in said.out + said.err
    if name in ("config.json", "dataset.json", "provenance.json", "result.json", "checkpoints"):
        assert code == 2
        assert name in said.err
    else:  # which the network does not need
        assert code == 0
    if name not in ("config.json", "result.json"):
        (run / "result.json").unlink()  # then it goes on from its last checkpoint, or refuses
        code, told = train(experiment, run, capfd)
        assert code in (0, 1, 2)
        assert code == 0 or name in told


# Runs in a mount namespace of its own, where a small disk can be mounted; with the run's folder on it.
SMALL_DISKS = """
import contextlib, io, os, subprocess, sys
from cnn_jax.cli import main as launch
experiment, disk, *levels = sys.argv[1:]
words = ["train", f"--config={experiment}", f"--workdir={disk}/run", "--noreport"]
for level in levels:
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={level}k", "none", disk], check=True)
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        first = launch.main(words)
        full = said.getvalue()
        subprocess.run(["mount", "-o", "remount,size=64m", disk], check=True)
        again = launch.main(words)
    lines = [line for line in full.splitlines() if line.startswith(("failed: ", "refused: ", "Traceback"))]
    records = open(f"{disk}/run/metrics.jsonl").read()
    print((int(level), first, again, lines, "resuming" in said.getvalue(), records.count("\\n")))
    subprocess.run(["umount", "-l", disk], check=True)
"""


def mounts():
    try:
        return (
            subprocess.run(["unshare", "-m", "mount", "-t", "tmpfs", "none", "/mnt"], capture_output=True).returncode
            == 0
        )
    except OSError:
        return False


@pytest.mark.skipif(not mounts(), reason="only root may mount a small disk")
def test_a_disk_that_is_full_at_any_level(experiment, undisturbed, tmp_path, every):
    levels = LEVELS if every == 1 else LEVELS[1::3]
    (tmp_path / "disk").mkdir()
    done = subprocess.run(
        ["unshare", "-m", sys.executable, "-c", SMALL_DISKS, experiment, tmp_path / "disk", *map(str, levels)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    found = [eval(line) for line in done.stdout.splitlines()]
    assert [level for level, *_ in found] == list(levels)
    for level, first, again, lines, _, records in found:
        assert (first, again) in ((1, 0), (2, 0)), level
        assert len(lines) == 1, lines
        assert "disk is full: free some space" in lines[0]
        assert f"{tmp_path}/disk/run" in lines[0]
        assert records == len(undisturbed)
    assert any(resumed for *_, resumed, _ in found)  # what was saved before is kept


@pytest.mark.parametrize(
    ("name", "when"),
    [
        ("SIGINT", {"events": 400}),
        ("SIGTERM", {"events": 6000}),
        ("SIGINT", {"opened": "/index.html", "mode": "w"}),
    ],
)
def test_a_signal_while_importing_or_reporting(experiment, tmp_path, name, when):
    moment = Moment(tmp_path / "moment", "launch.py", action=name, **when)
    done = subprocess.run(
        [sys.executable, ROOT / "launch.py", "train", f"--config={experiment}", f"--workdir={tmp_path}/run"],
        env=moment.environment,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert len(moment.processes) == 1
    assert (done.returncode, done.stderr.splitlines()[-1:]) == (
        75,
        [f"stopped by {name}; what is saved is kept, and the same command continues"],
    )
    assert "Traceback" not in done.stderr
    assert (tmp_path / "run" / "result.json").exists() == ("opened" in when)


def test_a_device_that_is_not_there(experiment, tmp_path):
    done = subprocess.run(
        [sys.executable, ROOT / "launch.py", "train", f"--config={experiment}", f"--workdir={tmp_path}/run"],
        env=os.environ | {"JAX_PLATFORMS": "cuda"},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 2
    assert re.fullmatch(
        r"refused: JAX_PLATFORMS=cuda: .*set JAX_PLATFORMS=cpu, or leave it out", done.stderr.splitlines()[-1]
    )
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "run" / "config.json").exists()
