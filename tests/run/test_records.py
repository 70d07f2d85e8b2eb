"""Records of a run's files: what is written, what is read, and what is refused.

`old_run/` holds files of a run as version 0.1.0 wrote them at commit 1f4e1e7.
"""

import ast
import inspect
import itertools
import json
import re
import textwrap
from pathlib import Path

import pydantic
import pytest

from cnn_jax.run import columns, metrics, records
from cnn_jax.run.folder import RunFolder
from cnn_jax.run.records import (
    DatasetInfo,
    MetricRecord,
    Performance,
    Provenance,
    Record,
    RecordError,
    Result,
    Seconds,
    SplitSizes,
)

OLD = Path(__file__).parent / "old_run"
SECONDS = Seconds(compile=1.0, training=20.0, evaluation=2.0, total=24.0)


def result(**changes):
    fields = {
        "test": {"accuracy": 0.9, "loss": 0.25, "top1_error": 0.1, "top5_error": 0.01},
        "step": 30,
        "best_epoch": 2,
        "final_epoch": 3,
        "selected_by": "last_epoch",
        "parameters": 1000,
        "images_per_second": 5000.0,
        "seconds": SECONDS,
    }
    return Result(**fields | changes)


def test_what_a_result_writes():
    assert result().to_json() == {
        "test_accuracy": 0.9,
        "test_loss": 0.25,
        "test_top1_error": 0.1,
        "test_top5_error": 0.01,
        "step": 30,
        "best_epoch": 2,
        "final_epoch": 3,
        "selected_by": "last_epoch",
        "parameters": 1000,
        "images_per_second": 5000.0,
        "performance": None,
        "seconds": {"compile": 1.0, "training": 20.0, "evaluation": 2.0, "total": 24.0},
    }
    assert records.parse(Result, json.dumps(result().to_json())) == result()
    assert (result().test_accuracy, result().test_loss) == (0.9, 0.25)


def test_a_metric_that_was_not_measured_is_null():
    few_classes = result(test={"accuracy": 0.9, "loss": 0.25, "top1_error": 0.1})
    assert few_classes.test["top5_error"] is None
    assert few_classes.to_json()["test_top5_error"] is None


@pytest.mark.parametrize(
    ("test", "fault"),
    [
        ({"loss": 0.25, "top1_error": 0.1}, r"test_accuracy\n  Field required"),
        ({"accuracy": 0.9, "loss": float("nan"), "top1_error": 0.1}, r"test_loss\n  Input should be a finite number"),
        (
            {"accuracy": 0.9, "loss": 0.25, "top1_error": 0.1, "f1": 0.8},
            "f1, which cnn_jax/run/metrics.py does not declare",
        ),
    ],
)
def test_values_that_are_no_declared_metrics_are_refused(test, fault):
    with pytest.raises(pydantic.ValidationError, match=fault):
        result(test=test)


def test_records_do_not_change():
    with pytest.raises(pydantic.ValidationError, match="frozen"):
        result().step = 4


def test_the_files_of_an_old_run():
    folder = RunFolder(OLD)
    found, info, made_by = folder.result(), folder.dataset_info(), folder.provenance()
    content = json.loads((OLD / "result.json").read_text())
    renamed = content["performance"]
    renamed["mfu"] = renamed.pop("peak_share")
    assert found.to_json() == content
    assert (found.test_accuracy, found.test["top5_error"], found.step) == (0.5, 0.0, 10)
    content = json.loads((OLD / "dataset.json").read_text())
    assert info.std == tuple(content["deviation"]) == (57.64318084716797,) * 3
    renamed = {name if name != "deviation" else "std": value for name, value in content.items()}
    unknown = {"warnings": [], "split_checksum": None, "files_checksum": None}
    unknown |= {"dtype": "uint8", "placement": None}
    assert info.to_json() == renamed | unknown
    assert info.images == SplitSizes(train=160, validation=40, test=60)
    content = json.loads((OLD / "provenance.json").read_text())
    content["devices"]["used_cores"], content["data"]["paths"] = None, {}
    unknown = {"settings": None, "weights_checksum": None, "files": None, "changes": [], "attempt": None}
    assert made_by.to_json() == content | unknown
    assert made_by.git.commit.startswith("1f4e1e7")
    assert [record.split for record in folder.metric_records()] == ["train_step", "train", "validation", "test"] * 2


def test_an_old_name_of_a_figure():
    content = json.loads((OLD / "result.json").read_text())
    content["performance"] |= {"peak_flops": 4e12, "peak_share": 0.25}
    found = records.parse(Result, json.dumps(content)).performance
    assert (found.peak_flops, found.mfu) == (4e12, 0.25)
    rest = {name: value for name, value in content["performance"].items() if name != "peak_share"}
    assert Performance(**rest, mfu=0.25) == found
    with pytest.raises(RecordError, match=r"^performance.mfu: Field required"):
        records.parse(Result, json.dumps(content | {"performance": rest}))


def test_fields_of_a_newer_version_are_ignored():
    content = result().to_json() | {"test_f1": 0.8, "energy": {"joules": 3}}
    content["seconds"]["data"] = 1.0
    assert records.parse(Result, json.dumps(content)) == result()


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        ('{"test_accuracy": 0.9, "te', "the content: Invalid JSON"),
        ("", "the content: Invalid JSON"),
        ("[1]", r"the content: got \[1\], expected an object"),
        ({"test_accuracy": None}, "test_accuracy: got null, expected a valid number"),
        ({"test_accuracy": "0.9"}, 'test_accuracy: got "0.9", expected a valid number'),
        ({"test_accuracy": float("nan")}, "test_accuracy: got NaN, expected a finite number"),
        ({"step": 1.5}, "step: got 1.5, expected a valid integer"),
        ({"seconds": {"compile": 1.0}}, "seconds.training: Field required"),
        ({"selected_by": "chance"}, "selected_by: got \"chance\", expected 'validation_accuracy' or 'last_epoch'"),
    ],
)
def test_a_damaged_result(content, fault):
    text = content if isinstance(content, str) else json.dumps(result().to_json() | content)
    with pytest.raises(RecordError, match=f"^{fault}"):
        records.parse(Result, text)


def test_old_and_new_names_of_the_standard_deviation():
    fields = {
        "name": "lines",
        "checksum": "abc",
        "image_shape": [10, 12, 1],
        "class_names": ["a", "b"],
        "images": {"train": 3, "validation": 0, "test": 2},
        "mean": [0.5],
    }
    built = DatasetInfo(**fields, std=[0.25])
    assert built.image_shape == (10, 12, 1)
    assert (built.std, built.colours) == ((0.25,), None)
    unknown = {"colours": None, "warnings": [], "split_checksum": None, "files_checksum": None}
    unknown |= {"dtype": "uint8", "placement": None}
    assert built.to_json() == fields | {"std": [0.25]} | unknown
    for name in ("std", "deviation"):
        assert records.parse(DatasetInfo, json.dumps(fields | {name: [0.25]})) == built


def test_provenance_says_what_it_must():
    devices = {"platform": "tpu", "kind": "TPU v5e", "count": 4, "processor": "Example 9000"}
    content = {"git": None, "packages": {"jax": "0.10.2"}, "devices": devices}
    found = records.parse(Provenance, json.dumps(content))
    assert (found.trained_together, str(found.devices)) == (1, "4 x TPU v5e")
    with pytest.raises(RecordError, match=r"^devices.count: Field required"):
        records.parse(Provenance, json.dumps(content | {"devices": {"platform": "cpu", "kind": "cpu"}}))


def test_a_line_of_metrics():
    line = {"step": 3, "epoch": 1, "split": "test", "values": {"loss": 1}, "device": "cpu"}
    assert records.metric_record(line) == MetricRecord(3, 1.0, "test", {"loss": 1.0})
    with pytest.raises(RecordError, match=r"^values.loss: got null, expected a valid number"):
        records.metric_record(line | {"values": {"loss": None}})
    with pytest.raises(RecordError, match=r"^the content: got 3, expected an object"):
        records.metric_record(3)


def every_record(kind=Record):
    for each in kind.__subclasses__():
        yield each
        yield from every_record(each)


def described(kind):
    """Names of the fields of a record, and of the records it extends, that have a text below them."""
    names = set()
    for each in kind.__mro__[: kind.__mro__.index(Record)]:
        (definition,) = ast.parse(textwrap.dedent(inspect.getsource(each))).body
        for field, text in itertools.pairwise(definition.body):
            if isinstance(field, ast.AnnAssign) and isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant):
                names.add(field.target.id)
    return names


def test_every_field_is_described():
    kinds = list(every_record())
    assert {Result, Seconds, Performance, Provenance, DatasetInfo} <= set(kinds)
    bare = [f"{kind.__name__}.{name}" for kind in kinds for name in kind.model_fields if name not in described(kind)]
    assert bare == []
    assert all(metric.meaning for metric in metrics.METRICS)


def test_the_guide_tells_every_figure_of_performance():
    guide = (Path(__file__).parents[2] / "docs" / "guide.md").read_text(encoding="utf-8")
    start = guide.index("`result.json` has these fields under `performance`")
    section = guide[start : guide.index("## Checkpoints and resuming")]
    assert re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE) == list(Performance.model_fields)


def test_whole_numbers_are_shown_as_such():
    assert columns.Column("seed", "seed", "{}").shown(0) == "0"
    assert columns.Column("final_epoch", "epochs", "{:,}").shown(1200) == "1,200"
    assert columns.Column("accuracy", "accuracy (%)", "{:.2f}", scale=100.0).shown(0.9188) == "91.88"
