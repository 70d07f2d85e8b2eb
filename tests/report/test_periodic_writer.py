"""The table and the report of a sweep under way: how often they are written, and what their failures do."""

import contextlib
import io
import itertools
import os
import resource
import selectors
import signal
import subprocess
import sys

import pytest
from rich.console import Console
from sweep.written_sweep import finish, padding_and_stride, trial_of, write_sweep

from cnn_jax.report import periodic_writer, sweep_writer
from cnn_jax.report.periodic_writer import PeriodicWriter

# Stands for the process that writes: it answers with 0.1 s for a table and 1 s for a report, and notes what was asked.
STAND_IN = """
import json, os, pathlib, signal, sys
folder = pathlib.Path(sys.argv[1])
for line in sys.stdin:
    names = json.loads(line)
    with (folder / "asked").open("a") as file:
        print(*names, file=file)
    answer = {"error": None, "trace": None}
    told = {name: answer | {"path": name, "seconds": {"table": 0.1, "report": 1.0}[name]} for name in names}
    BODY
    print(json.dumps(told), flush=True)
"""
FAILS = 'told["report"] |= {"path": None, "error": "ValueError: max()", "trace": "Traceback of the report"}'
DIES = 'print("last words", file=sys.stderr, flush=True); os.kill(os.getpid(), signal.SIGSEGV)'


class Clock:
    """A time that passes where it is told to."""

    def __init__(self):
        self.now = 100.0

    def monotonic(self):
        return self.now


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(periodic_writer, "time", clock)
    return clock


@pytest.fixture
def writer(monkeypatch, tmp_path):
    """Makes a writer whose process is the stand-in, which does something beside before it answers."""

    def make(body="", report=True):
        (tmp_path / "stand_in.py").write_text(STAND_IN.replace("BODY", body))
        monkeypatch.setattr(periodic_writer, "_PROGRAM", "stand_in")
        monkeypatch.setenv("PYTHONPATH", str(tmp_path))
        made = PeriodicWriter(tmp_path, report, Console(file=io.StringIO(), width=1000))
        made.said = made._console.file
        return made

    return make


def wait(writer):
    """Waits until the process has answered what it was asked."""
    if writer._requested:
        with selectors.DefaultSelector() as selector:
            selector.register(writer._process.stdout, selectors.EVENT_READ)
            selector.select()


def asked(tmp_path):
    return [line.split() for line in (tmp_path / "asked").read_text().splitlines()]


def test_both_are_written_at_first_and_then_for_a_fiftieth_of_the_time(clock, writer, tmp_path):
    times = {"table": [], "report": []}
    with writer() as made:
        for _ in range(120):
            made.update()
            for name in made._requested:
                times[name].append(clock.now)
            wait(made)
            clock.now += 1
    assert asked(tmp_path)[0] == ["table", "report"]
    for name, least in (("table", 5.0), ("report", 50.0)):
        between = [later - earlier for earlier, later in itertools.pairwise(times[name])]
        assert between
        assert all(least < gap < least + 3 for gap in between)  # it is asked for every second


def test_a_process_with_more_than_a_thousand_open_files_has_a_report_too(writer, tmp_path):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 2048), hard))
    try:
        with contextlib.ExitStack() as stack:
            for _ in range(1100):
                stack.enter_context(open(os.devnull))
            with writer(report=False) as made:
                made.update()
                made.finish()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert made.said.getvalue() == "table: table\n"


def test_without_a_report_the_table_alone_is_kept_up(clock, writer, tmp_path):
    with writer(report=False) as made:
        made.update()
        made.finish()
    assert asked(tmp_path) == [["table"], ["table"]]
    assert made.said.getvalue() == "table: table\n"


def test_nothing_is_asked_while_it_writes(clock, writer, tmp_path):
    with writer("input_ = open(folder / 'go').read() if (folder / 'go').exists() else None") as made:
        os.mkfifo(tmp_path / "go")
        made.update()
        clock.now += 1000
        for _ in range(3):
            made.update()  # returns at once, and asks for nothing more
        with (tmp_path / "go").open("w"):
            pass
        wait(made)
        (tmp_path / "go").unlink()
        made.update()
        made.finish()
    assert asked(tmp_path) == [["table", "report"], ["table"], ["report"]]


@pytest.mark.parametrize(
    ("body", "warning", "trace"),
    [
        (FAILS, "warning: the report could not be written: ValueError: max(); trace in ", "Traceback of the report"),
        (DIES, "could not be written: the process that writes it ended by SIGSEGV; trace in ", "last words"),
    ],
)
def test_a_failure_is_a_warning_and_a_trace(clock, writer, tmp_path, body, warning, trace):
    body = body if body == DIES else f"if 'report' in told: {body}"
    with writer(body) as made:
        made.update()
        wait(made)
        clock.now += 1000
        made.update()
        wait(made)
        made.finish()
    assert warning in made.said.getvalue()
    assert made.said.getvalue().count(warning) <= 3, "the same is said once"
    assert "launch.py report" in made.said.getvalue()
    assert trace in (tmp_path / "report.log").read_text()


def test_a_signal_leaves_the_last_report_out(writer, tmp_path, monkeypatch):
    monkeypatch.setattr(periodic_writer, "_POLL", 0)
    with writer("os.kill(os.getppid(), signal.SIGTERM); open(folder / 'never').read()") as made:
        os.mkfifo(tmp_path / "never")
        made.finish()
    assert "SIGTERM: the report is not up to date" in made.said.getvalue()
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


def test_the_process_writes_both(tmp_path):
    padding_and_stride(tmp_path)
    console = Console(file=io.StringIO(), width=1000)
    with PeriodicWriter(tmp_path, True, console) as made:
        made.finish()
    assert console.file.getvalue() == f"table: {tmp_path}/table.csv\nreport: {tmp_path}/report/index.html\n"
    assert (tmp_path / "report" / "index.html").exists()
    assert not (tmp_path / "report.log").exists()


def test_a_damaged_sweep_is_told_by_the_process(tmp_path):
    trial = trial_of(0, {"a.b": 1}, seed=0)
    write_sweep(tmp_path, ["a.b"], [trial])
    finish(tmp_path, trial, 0.5)
    (tmp_path / "sweep.json").write_text("{")
    answer = sweep_writer.write("table", tmp_path)
    assert answer["path"] is None
    assert "SweepFolderError" in answer["error"]
    assert "Traceback" in answer["trace"]


def test_what_a_killed_process_left_is_removed(tmp_path):
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    for pid in (ended.pid, os.getpid()):
        (tmp_path / f".report.{pid}").mkdir()
        (tmp_path / f".report.{pid}" / "index.html").touch()
        (tmp_path / f".table.csv.{pid}").touch()
    (tmp_path / f".mine.{ended.pid}").touch()
    sweep_writer.remove_leftovers(tmp_path)
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {f".report.{os.getpid()}", f".table.csv.{os.getpid()}", f".mine.{ended.pid}"}
