"""Tables of `make bench-inspect`: a wrong result is no result, and ratios are taken round by round."""

import io

import numpy as np
from rich.console import Console

from benchmarks.inspection import checked, table


def turn(name, number, *seconds, **more):
    figures = {"seconds": list(seconds), "first_seconds": 9.0, "peak_bytes": 2e9, "versions": "of a test"}
    return {"method": "occlusion", "round": number, "name": name} | figures | more


def test_a_contestant_whose_result_differs_has_failed(tmp_path):
    ours, theirs = tmp_path / "ours.npy", tmp_path / "theirs.npy"
    np.save(theirs, np.ones((2, 3)))
    assert checked(turn("captum", 0, 1.0), theirs, ours) == turn("captum", 0, 1.0)  # ours has not been there yet
    np.save(ours, np.full((2, 3), 1.0004))
    right = checked(turn("captum", 0, 1.0), theirs, ours)
    assert "error" not in right
    assert abs(right["apart"] - 4e-4) < 1e-6
    np.save(ours, np.full((2, 3), 1.01))
    assert checked(turn("captum", 0, 1.0), theirs, ours)["error"] == "its result is 9.9e-03 apart"
    np.save(ours, np.ones(6))
    assert checked(turn("captum", 0, 1.0), theirs, ours)["error"] == "its result has the shape (2, 3), not (6,)"


def test_ratios_are_taken_round_by_round():
    turns = [turn("captum", 0, 3.0, 9.0, 2.0), turn("cnn_jax", 0, 1.0), turn("cnn_jax", 1, 2.0), turn("captum", 1, 8.0)]
    turns.append({"method": "occlusion", "round": 0, "name": "captum compiled", "error": "no compiler"})
    text = io.StringIO()
    Console(width=150, file=text).print(table("occlusion", 8, turns))
    lines = {row.split("│")[1].strip(): row for row in text.getvalue().splitlines() if row.count("│") > 7}
    cells = [cell.strip() for cell in lines["captum"].split("│")[1:-1]]
    assert cells == ["captum", "5.5", "3 - 8", "3.5", "3 - 4", "9.0", "2.00", "0e+00"]
    assert "no compiler" in lines["captum compiled"]
