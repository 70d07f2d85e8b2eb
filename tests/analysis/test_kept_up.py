"""How often the table and the report of a sweep under way are written."""

import itertools

import pytest

from cnn_jax.analysis import kept_up, sweep_report
from cnn_jax.analysis.kept_up import KeptUp
from cnn_jax.sweep import table


class Clock:
    """A time that passes where it is told to."""

    def __init__(self):
        self.now = 100.0

    def monotonic(self):
        return self.now


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(kept_up, "time", clock)
    return clock


@pytest.fixture
def written(monkeypatch, clock):
    """What was written when; a table takes a tenth of a second, a report a whole one."""
    written = []

    def writes(name, seconds):
        def write(folder):
            written.append((name, clock.now, folder))
            clock.now += seconds

        return write

    monkeypatch.setattr(table, "write_table", writes("table", 0.1))
    monkeypatch.setattr(sweep_report, "write_sweep_report", writes("report", 1.0))
    return written


def updates(clock, tmp_path, seconds, report=True):
    """Asks every second, so many seconds long."""
    kept = KeptUp(tmp_path, report)
    until = clock.now + seconds
    while clock.now < until:
        kept.update()
        clock.now += 1


def test_both_are_written_at_first_and_then_for_a_fiftieth_of_the_time(clock, written, tmp_path):
    updates(clock, tmp_path, seconds=200)
    assert [name for name, _, _ in written[:2]] == ["table", "report"]
    assert {folder for _, _, folder in written} == {tmp_path}
    for name, least in (("table", 5.1), ("report", 51.0)):
        times = [when for each, when, _ in written if each == name]
        between = [later - earlier for earlier, later in itertools.pairwise(times)]
        assert between
        assert all(least - 1e-6 < gap < least + 2.2 for gap in between)  # it is asked for every 1 to 2.1 seconds


def test_without_a_report_the_table_alone_is_kept_up(clock, written, tmp_path):
    updates(clock, tmp_path, seconds=20, report=False)
    assert {name for name, _, _ in written} == {"table"}
    assert len(written) == 4
