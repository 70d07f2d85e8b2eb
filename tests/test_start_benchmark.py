"""`make bench-start`: medians of turns, and a process that is timed until it has written a line."""

import io
import sys

import pytest
from rich.console import Console

from benchmarks.start import _turn, table


def test_medians_of_each_kind_of_turn():
    turns = [{"name": "summary", "processor": own, "wall": 2 * own} for own in (0.5, 0.9, 0.6)]
    turns.insert(1, {"name": "--help", "processor": 0.25, "wall": 0.3})
    text = io.StringIO()
    Console(width=120, file=text).print(table(turns))
    rows = [[cell.strip() for cell in row.split("│")[1:-1]] for row in text.getvalue().splitlines() if "│" in row]
    assert rows == [
        ["summary", "0.60", "0.50 - 0.90", "1.20", "1.00 - 1.80"],
        ["--help", "0.25", "0.25 - 0.25", "0.30", "0.30 - 0.30"],
    ]


def test_a_process_is_timed_until_its_first_line(tmp_path):
    code = "import sys, time; open(sys.argv[1], 'w').write('step 1\\n'); time.sleep(600)"
    used = _turn([sys.executable, "-c", code, f"{tmp_path}/lines"], tmp_path, tmp_path / "lines")
    assert used["processor"] >= 0
    assert 0 < used["wall"] < 600


def test_a_process_that_ends_before_has_failed(tmp_path):
    with pytest.raises(SystemExit, match="no step"):
        _turn([sys.executable, "-c", ""], tmp_path, tmp_path / "lines")
