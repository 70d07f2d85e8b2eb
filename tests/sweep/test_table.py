"""The tables' files, read back."""

import csv
import json

import pyarrow as pa
import pyarrow.parquet
import pytest

from cnn_jax.sweep.rows import SweepFolderError
from cnn_jax.sweep.table import write_table
from sweep.written_sweep import fail, finish, padding_and_stride, trial_of, write_sweep


def read_csv(path):
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_csv_and_parquet_hold_the_same(tmp_path):
    path = write_table(padding_and_stride(tmp_path))
    assert path == tmp_path / "table.csv"
    lines = read_csv(path)
    table = pyarrow.parquet.read_table(tmp_path / "table.parquet")
    assert table.column_names == list(lines[0])
    assert len(lines) == table.num_rows == 45
    for line, row in zip(lines, table.to_pylist(), strict=True):
        for column, value in row.items():
            text = line[column]
            found = None if text == "" else type(value)(text)
            assert found == value or (value == "" and found is None), column


def test_a_row_of_each_kind(tmp_path):
    lines = read_csv(write_table(padding_and_stride(tmp_path)))
    done, failed, infeasible = lines[0], lines[13], lines[6]
    assert (done["status"], done["model.padding"], done["model.strides"], done["seed"]) == ("done", "VALID", "1", "0")
    assert float(done["test_accuracy"]) == 0.9  # 0.9 - 0 + 0 + 0.001 * (5 % 5)
    assert float(done["training_seconds"]) == 20
    assert done["packages"] == "jax 0.10.2, flax 0.12.8"
    assert (failed["status"], failed["fault"], failed["test_accuracy"]) == ("failed", "diverged", "")
    assert failed["message"] == "the training loss is nan after step 40 (epoch 1)"
    assert failed["log_tail"].splitlines()[:2] == ["epoch 1: loss 2.1", "<Traceback>"]
    assert (infeasible["status"], infeasible["parameters"]) == ("infeasible", "")
    assert infeasible["message"] == "layer conv_3, input 2x2x64: a window of 3 does not fit, padding=VALID"
    assert {line["model.padding"] for line in lines} >= {"[[1,2],[2,1]]", "TORCH"}


def test_types_of_columns(tmp_path):
    values = {
        "a.whole": (1, None),
        "a.fraction": (1, 0.5),
        "a.flag": (True, False),
        "a.text": ("x", None),
        "a.mixed": ("SAME", [[1, 2], [2, 1]]),
        "a.lists": ([3, 3], None),
        "a.flag_or_number": (True, 2),
        "a.never": (None, None),
    }
    trials = [trial_of(n, {field: pair[n] for field, pair in values.items()}, seed=n) for n in (0, 1)]
    write_sweep(tmp_path, list(values), trials)
    finish(tmp_path, trials[0], 0.9, top5_error=None)
    write_table(tmp_path)
    table = pyarrow.parquet.read_table(tmp_path / "table.parquet")
    types = {
        "a.whole": pa.int64(),
        "a.fraction": pa.float64(),
        "a.flag": pa.bool_(),
        **dict.fromkeys(("a.text", "a.mixed", "a.lists", "a.flag_or_number", "a.never", "log_tail"), pa.string()),
        **dict.fromkeys(("seed", "final_epoch", "parameters", "multiply_adds", "attempts"), pa.int64()),
        **dict.fromkeys(("test_accuracy", "top5_error", "total_seconds"), pa.float64()),
    }
    assert {name: table.schema.field(name).type for name in types} == types
    assert table["a.mixed"].to_pylist() == ["SAME", "[[1,2],[2,1]]"]
    assert table["a.lists"].to_pylist() == ["[3,3]", None]
    assert table["a.flag_or_number"].to_pylist() == ["true", "2"]
    assert table["a.whole"].to_pylist() == [1, None]
    assert table["final_epoch"].to_pylist() == [3, None]
    assert table["top5_error"].to_pylist() == [None, None]
    assert [line["a.flag"] for line in read_csv(tmp_path / "table.csv")] == ["true", "false"]


def test_awkward_text_survives(tmp_path):
    trial = trial_of(0, {"a.b": 'x, "y"'}, seed=0)
    write_sweep(tmp_path, ["a.b"], [trial])
    tail = ['say "no", then', "50 %\r 100 %", "ümlaut ✓"]
    fail(tmp_path, trial, "crash", "two\nlines", tail)
    (line,) = read_csv(write_table(tmp_path))
    assert (line["a.b"], line["message"]) == ('x, "y"', "two\nlines")
    assert line["log_tail"] == "\n".join(tail)


def test_statistics_of_points(tmp_path):
    write_table(padding_and_stride(tmp_path))
    points = {(line["model.padding"], line["model.strides"]): line for line in read_csv(tmp_path / "points.csv")}
    assert len(points) == 15
    # VALID with stride 1 has noise 0.001 * (0, 3, 1) by seed, SAME with stride 1 has 0.004 + 0.001 * (2, 0, 3)
    base, same = points["VALID", "1"], points["SAME", "1"]
    assert float(base["test_accuracy_mean"]) == pytest.approx(0.9 + 0.004 / 3)
    assert base["difference_n"] == base["difference_p_value"] == base["difference_significant"] == ""
    assert (same["n"], same["n_failed"], same["difference_n"]) == ("3", "0", "3")
    assert float(same["difference_mean"]) == pytest.approx(0.004 + 0.001 * (2 - 3 + 2) / 3)
    assert same["difference_significant"] == "false"
    assert float(same["difference_p_holm"]) >= float(same["difference_p_value"])
    assert float(same["training_seconds_mean"]) == pytest.approx(21.1)
    assert [points["SAME", "2"][name] for name in ("n", "n_failed", "difference_n_unpaired")] == ["2", "1", "1"]
    assert [points["VALID", "3"][name] for name in ("n", "n_infeasible", "test_accuracy_mean")] == ["0", "3", ""]


def test_an_unfinished_sweep(tmp_path):
    lines = read_csv(write_table(padding_and_stride(tmp_path, finished=False)))
    assert {line["status"] for line in lines} == {"waiting", "infeasible"}
    write_sweep(tmp_path, [], [])
    assert read_csv(write_table(tmp_path)) == []
    assert pyarrow.parquet.read_table(tmp_path / "table.parquet").num_rows == 0


def test_a_spoilt_sweep_leaves_the_old_tables(tmp_path):
    write_table(padding_and_stride(tmp_path))
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()}
    assert before.keys() == {"sweep.json", "table.csv", "table.parquet", "points.csv"}  # and no temporary file
    text = json.dumps({"experiment": "x"})
    (tmp_path / "sweep.json").write_text(text)
    with pytest.raises(SweepFolderError, match="fields: Field required"):
        write_table(tmp_path)
    after = {path.name: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()}
    assert after == before | {"sweep.json": text.encode()}
