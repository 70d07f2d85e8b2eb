"""The table of a sweep follows from the records' declarations: as it always was, and with one metric more."""

import csv

import pyarrow as pa
import pyarrow.parquet
import pytest

from cnn_jax.report.sweep_report import write_sweep_report
from cnn_jax.run import metrics
from cnn_jax.run.columns import Column, columns_of
from cnn_jax.run.metrics import Metric
from cnn_jax.run.records import Provenance
from cnn_jax.sweep.rows import columns, read_rows
from cnn_jax.sweep.statistics import differences, grouped
from cnn_jax.sweep.table import write_table
from sweep.written_sweep import finish, result_of, trial_of, write_json, write_sweep

BRIER = Metric(
    "brier",
    title="Brier score",
    unit="",
    meaning="mean squared distance of the probabilities from the label's",
    higher_is_better=False,
)


def header_of(path):
    with path.open(newline="", encoding="utf-8") as file:
        return next(csv.reader(file))


def sweep_of(folder, brier=(None, None, None, None)):
    """Two points of two seeds, all finished; a Brier score of None is one that was not measured."""
    trials = [trial_of(n, {"model.strides": 1 + n // 2}, seed=n % 2) for n in range(4)]
    write_sweep(folder, ["model.strides"], trials, baseline={"model.strides": 1})
    for number, (trial, score) in enumerate(zip(trials, brier, strict=True)):
        finish(folder, trial, 0.9 - 0.01 * number)
        content = result_of(0.9 - 0.01 * number) | ({} if score is None else {"test_brier": score})
        write_json(folder / "trials" / trial["id"] / "result.json", content)
    return folder


def test_columns_of_the_tables(tmp_path):
    """The names and the order are those of version 0.1.0 at commit 1f4e1e7; readers of the files rely on them."""
    write_table(sweep_of(tmp_path))
    assert header_of(tmp_path / "table.csv") == [
        *("id", "status", "fault", "message", "model.strides", "seed"),
        *("test_accuracy", "test_loss", "top1_error", "top5_error", "final_epoch", "parameters", "multiply_adds"),
        *("images_per_second", "compile_seconds", "training_seconds", "evaluation_seconds", "total_seconds"),
        *("attempts", "commit", "dirty", "packages", "device", "host", "trained_together", "log_tail"),
    ]
    points = header_of(tmp_path / "points.csv")
    assert points.pop(points.index("images_per_second_mean"))  # newer
    assert points == [
        *("model.strides", "n", "n_failed", "n_infeasible", "n_unfinished"),
        *("test_accuracy_mean", "test_accuracy_deviation", "test_accuracy_low", "test_accuracy_high"),
        *("test_loss_mean", "parameters_mean", "multiply_adds_mean", "training_seconds_mean"),
        *("difference_n", "difference_n_unpaired", "difference_mean", "difference_low", "difference_high"),
        *("difference_p_value", "difference_p_holm", "difference_significant"),
    ]


def test_a_column_says_how_it_is_shown():
    shown = {each.column.name: each.column for each in columns()}
    assert shown["test_accuracy"].shown(0.91234) == "91.23"
    assert shown["test_loss"].shown(0.25) == "0.2500"
    assert shown["parameters"].shown(93322) == "93,322"
    assert shown["commit"].shown("a" * 40) == "a" * 10
    assert shown["device"].shown(None) == ""
    assert [each.column.name for each in columns_of(Provenance)] == [
        *("commit", "dirty", "packages", "device", "trained_together")
    ]
    assert shown["host"] == Column("host", "host")


@pytest.fixture
def declared(monkeypatch):
    """One metric more in the declaration, and nothing else."""
    monkeypatch.setattr(metrics, "METRICS", (*metrics.METRICS, BRIER))


def test_a_new_metric_is_one_edit(tmp_path, declared):
    folder = sweep_of(tmp_path, brier=(0.125, 0.375, 0.5, None))
    header, rows = read_rows(folder)
    assert [row.values["test_brier"] for row in rows] == [0.125, 0.375, 0.5, None]
    assert rows[0].result.test["brier"] == 0.125
    assert rows[0].result.to_json()["test_brier"] == 0.125

    with write_table(folder).open(newline="", encoding="utf-8") as file:
        lines = list(csv.DictReader(file))
    assert [line["test_brier"] for line in lines] == ["0.125", "0.375", "0.5", ""]
    table = pyarrow.parquet.read_table(folder / "table.parquet")
    assert table.schema.field("test_brier").type == pa.float64()
    assert table["test_brier"].to_pylist() == [0.125, 0.375, 0.5, None]

    first, second = grouped(rows, header.fields, "test_brier")
    assert (first.estimate.n, first.estimate.mean, second.estimate.n) == (2, 0.25, 1)
    (difference,) = differences(rows, header.fields, header.baseline, "test_brier")
    assert difference.estimate.mean == 0.375
    with (folder / "points.csv").open(newline="", encoding="utf-8") as file:
        assert [line["test_brier_mean"] for line in csv.DictReader(file)] == ["0.25", "0.5"]

    text = write_sweep_report(folder).read_text()
    assert text.count('<button type="button">Brier score</button>') == 2  # of the points, and of the trials
    assert '<td class="n" data-value="0.125">0.1250</td>' in text
    assert '<td class="n" data-value="0.25">0.2500</td>' in text


def test_without_its_declaration_a_metric_is_unknown(tmp_path):
    folder = sweep_of(tmp_path, brier=(0.125, 0.375, 0.5, None))
    _, rows = read_rows(folder)
    assert rows[0].status == "done"
    assert "test_brier" not in rows[0].values
    assert "test_brier" not in header_of(write_table(folder))
