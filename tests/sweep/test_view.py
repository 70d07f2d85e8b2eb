"""Display of a running sweep, on a terminal and in a file."""

import io

import pytest
from rich.console import Console

from cnn_jax.config.parsing import parse
from cnn_jax.sweep.feasibility import Examined
from cnn_jax.sweep.folder import Entry, SweepFolder
from cnn_jax.sweep.status import Status
from cnn_jax.sweep.trial import Trial
from cnn_jax.sweep.view import SweepView
from sweep.written_sweep import result_of, write_json


@pytest.fixture
def sweep(tmp_path):
    """Thirty trials, none of them begun."""
    folder = SweepFolder(tmp_path)
    entries = []
    for seed in range(30):
        overrides = {"model.padding": "SAME", "seed": seed}
        trial = Trial(seed + 1, overrides, overrides, parse({"seed": seed}))
        entries.append(Entry(f"{seed:016x}", trial, Examined("abc", 10, 20)))
    return folder, entries


def finish(folder, entry, accuracy):
    write_json(folder.trial(entry.id).path / "result.json", result_of(accuracy))


def test_plain_lines_where_there_is_no_terminal(sweep):
    folder, entries = sweep
    out = io.StringIO()
    with SweepView(Console(file=out, width=200), folder, entries, {each.id: Status() for each in entries}) as view:
        view.changed(entries[0], Status("running", attempts=1))
        finish(folder, entries[0], 0.9)
        view.changed(entries[0], Status("done", attempts=1, seconds=75))
        view.changed(
            entries[1], Status("failed", fault="hang", message="no end\nafter 3 minutes", attempts=1, seconds=3)
        )
    lines = out.getvalue().splitlines()
    assert len(lines) == 2, "a trial that begins is no news"
    assert lines[0].startswith("model.padding=SAME, seed=0: done accuracy 0.9000 in 1 min 15 s; 1 done, 29 waiting")
    assert "best 0.9000" in lines[0]
    assert lines[1].startswith("model.padding=SAME, seed=1: failed (hang: no end); 1 done, 1 failed, 28 waiting")


def test_a_table_on_a_terminal(sweep):
    folder, entries = sweep
    finish(folder, entries[4], 0.87)
    statuses = {each.id: Status() for each in entries} | {entries[4].id: Status("done", attempts=2, seconds=3700)}
    out = io.StringIO()
    console = Console(file=out, width=110, height=40, force_terminal=True, color_system=None)
    with SweepView(console, folder, entries, statuses) as view:
        view.changed(entries[7], Status("running", attempts=1))
        shown = out.getvalue()
    rows = [line for line in shown.splitlines() if "seed=" in line]
    assert any("seed=7" in row and "running" in row for row in rows)
    assert any("seed=4" in row and "done" in row and "0.8700" in row and "1 h 1 min" in row for row in rows)
    assert "and 5 more trials" in shown
    assert "1 done, 1 running, 28 waiting, best 0.8700" in shown


def test_what_was_done_before_gives_no_time_left(sweep):
    folder, entries = sweep
    view = SweepView(Console(file=io.StringIO()), folder, entries, {each.id: Status() for each in entries})
    assert view.counts() == "30 waiting"


def test_a_damaged_result_does_not_end_the_sweep(sweep):
    folder, entries = sweep
    write_json(folder.trial(entries[0].id).path / "result.json", {"test_accuracy": 0.9})
    out = io.StringIO()
    with SweepView(Console(file=out, width=200), folder, entries, {each.id: Status() for each in entries}) as view:
        view.changed(entries[0], Status("done", attempts=1, seconds=75))
    assert out.getvalue().startswith("model.padding=SAME, seed=0: done; 1 done")


def test_a_trial_of_any_name(tmp_path):
    """Nothing of it is markup, an emoji code or a terminal's escape code."""
    folder, overrides = SweepFolder(tmp_path), {"model": "x[/b] [red]:cat:\x1b[2J"}
    entry = Entry("a" * 16, Trial(1, overrides, overrides, parse({})), Examined("abc", 10, 20))
    for is_terminal in (False, True):
        out = io.StringIO()
        console = Console(file=out, width=110, height=40, force_terminal=is_terminal, color_system=None)
        with SweepView(console, folder, [entry], {entry.id: Status()}) as view:
            view.changed(entry, Status("failed", fault="error", message="[/b]\x1b[2J", attempts=1, seconds=3))
        shown = out.getvalue()
        assert r"model=x[/b] [red]:cat:\x1b[2J" in shown
        assert "\x1b[2J" not in shown
