"""The report's page: whole, self-contained, and right in a browser."""

import dataclasses
import json
import re
import shutil

import numpy as np
import pytest
from html_page import Page
from in_browser import lies_well, show

from cnn_jax import geometry
from cnn_jax.config import Cnn, Experiment
from cnn_jax.data.split import Split
from cnn_jax.report import pictures, step_profile
from cnn_jax.report.run_page import ReportInputs, write_report
from cnn_jax.report.step_profile import Operation, StepProfile
from cnn_jax.run import metrics
from cnn_jax.run.folder import RunFolder, RunFolderError
from cnn_jax.run.metrics import Metric

SECTIONS = [
    *("curves", "classes", "confusion", "samples", "mistakes", "calibration", "filters", "layers", "speed"),
    "config",
]
PERFORMANCE = {
    "step_seconds": {"p50": 0.00123, "p90": 0.002, "p99": 0.003},
    "training_flop": 16_400_000,
    "peak_flops": 312e12,
    "mfu": 0.456,
    "device_peak_bytes": 3 * 2**30,
    "process_peak_bytes": 2**29,
}
BARE = dict.fromkeys(PERFORMANCE) | {"training_flop": 1000, "process_peak_bytes": 2**29}
NAMES = ("T-shirt/top", "<b>bold</b> & more", "Ankle boot")


def finished_run(path, epochs=2, validation=True):
    """The files of a run that a report reads."""
    folder = RunFolder(path)
    path.mkdir(parents=True)
    folder.write("config.json", Experiment().model_dump(mode="json"))
    devices = {"platform": "cpu", "kind": "cpu", "count": 1, "processor": "Example 9000"}
    git = {"commit": "a" * 40, "dirty": None}
    folder.write("provenance.json", {"git": git, "packages": {"jax": "0.10.2"}, "devices": devices})
    result = {
        "test_accuracy": 0.8,
        "test_loss": 0.5,
        "test_top1_error": 0.2,
        "test_top5_error": 0.0123 if validation else None,
        "step": 10,
        "best_epoch": epochs,
        "final_epoch": epochs,
        "selected_by": "last_epoch",
        "parameters": 93322,
        "images_per_second": 9000.0,
        "performance": PERFORMANCE if validation else BARE,
        "seconds": {"compile": 1.0, "training": 2.0, "evaluation": 0.5, "total": 3.5},
    }
    folder.write("result.json", result)
    lines = []
    for epoch in range(1, epochs + 1):
        values = {"loss": 1 / epoch, "accuracy": 1 - 0.5 / epoch}
        window = values | {"learning_rate": 1e-3}
        splits = [("train_step", window), ("train", window), ("test", values)]
        splits += [("validation", values)] if validation else []
        lines += [{"step": epoch, "epoch": epoch, "split": split, "values": entry} for split, entry in splits]
    folder.metrics.write_text("".join(json.dumps(line) + "\n" for line in lines) + '{"step": 3, "ep')
    return folder


def inputs(names=NAMES, images=60, channels=1, kernel=(3, 3, 1, 32)):
    rng = np.random.default_rng(0)
    labels = rng.integers(0, len(names), images).astype(np.int32)
    scores = rng.standard_normal((images, len(names))) + 2 * np.eye(len(names))[labels]
    probabilities = (np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)).astype(np.float32)
    return ReportInputs(
        test=Split(rng.integers(0, 256, (images, 12, 12, channels)).astype(np.uint8), labels),
        tested=images,
        class_names=tuple(names),
        probabilities=probabilities,
        first_kernel=None if kernel is None else rng.standard_normal(kernel).astype(np.float32),
        layers=geometry.summarize(Cnn(), (28, 28, 1), 10).layers,
    )


def few():
    """Inputs with few pictures to draw, for what the page says."""
    return inputs(images=9, kernel=(3, 3, 1, 2))


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return write_report(finished_run(tmp_path_factory.mktemp("whole") / "run"), inputs())


def test_the_page_is_whole_and_self_contained(whole):
    index = whole
    text = index.read_text()
    page = Page(text)
    assert page.sections == [*SECTIONS, "provenance"]
    assert len(page.pictures) == 8
    assert all(picture["alt"] for picture in page.pictures)
    assert all(target.startswith(("data:", "#")) for target in page.targets)
    assert {file.stem for file in index.parent.glob("*.png")} == {
        *("accuracy", "loss", "learning_rate", "confusion_matrix"),
        *("calibration", "samples", "mistakes", "filters"),
    }
    assert "80.00 %" in text
    assert "<b>1.23 %</b><span>test top-5 error" in text
    assert "26x26x32" in text
    assert "93,322" in text
    assert "median 1.23 ms; 90 % of the steps within 2.00 ms, 99 % within 3.00 ms" in text
    assert "45.6 % of 312.0 TFLOP/s" in text
    assert "3.00 GiB" in text
    assert "config.train" not in text
    assert re.search(r"<td>train.batch_size</td><td>32</td>", text)


def test_a_resumed_run_shows_what_had_changed(tmp_path):
    folder = finished_run(tmp_path / "run")
    held = folder.read("provenance.json")
    folder.write("provenance.json", held | {"changes": ["packages.jax: 0.10.2 -> 0.11.0", "xla_flags: none -> <b>"]})
    text = write_report(folder, few()).read_text()
    assert Page(text).sections == ["changes", *SECTIONS, "provenance"]
    assert "<li>packages.jax: 0.10.2 -&gt; 0.11.0</li>" in text
    assert "none -&gt; &lt;b&gt;</li>" in text


def test_warnings_about_the_data_stand_before_the_figures_details(whole, tmp_path):
    assert "warnings" not in Page(whole.read_text()).sections
    folder = finished_run(tmp_path / "run")
    warnings = ("the test images lack 1 of the 3 classes: <b>cat</b>", "2 of the 9 test images are copies")
    text = write_report(folder, dataclasses.replace(few(), warnings=warnings)).read_text()
    assert Page(text).sections == ["warnings", *SECTIONS, "provenance"]
    assert "<li>the test images lack 1 of the 3 classes: &lt;b&gt;cat&lt;/b&gt;</li>" in text
    assert "<li>2 of the 9 test images are copies</li>" in text


def test_class_names_are_escaped(whole):
    text = whole.read_text()
    assert "&lt;b&gt;bold&lt;/b&gt; &amp; more" in text
    assert "<b>bold" not in text


HOSTILE = (
    "$5 to $10", r"$\frac$", "accuracy", "macro avg", "中文名字",
    "\u0627\u0644\u0633\u0644\u0627\u0645", "😀", "cat", "cat\u200b", "a\x1b[31mred",
    "</script><img src=x onerror=alert(1)>", "x" * 255, "x" * 254 + "y", "line\nbreak", "", "{{ 7 * 7 }}", "a\u202eb",
)  # fmt: skip


@pytest.fixture(scope="module")
def hostile(tmp_path_factory):
    """A report whose classes and folder have hostile names."""
    folder = finished_run(tmp_path_factory.mktemp("hostile") / "run $x$ \x1b[2J\udce9 <i>")
    return write_report(folder, inputs(HOSTILE, images=100))


def test_names_of_every_kind(hostile):
    text = hostile.read_text(encoding="utf-8")
    assert not set(text) & {"\x1b", "\u200b", "\u202e"}
    assert "<img src=x" not in text
    assert "<i>" not in text
    assert "{{ 7 * 7 }}" in text
    shown = re.findall(r'<td class="name">(.*?)</td><td class="n">', text)[: len(HOSTILE)]
    assert len(set(shown)) == len(HOSTILE)
    assert {"$5 to $10", r"$\frac$", "accuracy", "中文名字", r"a\x1b[31mred", r"line\nbreak", "14: (no name)"} <= set(
        shown
    )
    assert r"run $x$ \x1b[2J\xe9 &lt;i&gt;" in text
    report = json.loads((hostile.parent / "classification_report.json").read_text())
    whole = [f"class {name}" if name in ("accuracy", "macro avg") else name for name in HOSTILE]
    assert list(report) == [*whole, "accuracy", "macro avg", "weighted avg"]


@pytest.mark.parametrize("width", [1280, 360])
def test_names_of_every_kind_in_a_browser(hostile, browser, width, tmp_path):
    shutil.copytree(hostile.parent, tmp_path / "report")  # into a folder whose name an address can have
    show(browser, tmp_path / "report" / "index.html", width)
    lies_well(browser, width, SECTIONS, 8)


@pytest.mark.parametrize(
    "case",
    [
        {"images": 1},
        {"channels": 3, "kernel": (11, 11, 3, 96)},
        {"kernel": None},
        {"names": [f"class {number}" for number in range(1000)]},
        {"names": ("a", "b"), "images": 7, "kernel": (1, 1, 5, 3)},
    ],
)
def test_data_of_every_kind(tmp_path, case):
    folder = finished_run(tmp_path / "run", epochs=1, validation=False)
    text = write_report(folder, inputs(**case)).read_text()
    assert "top-1 error" in text
    assert "top-5 error" not in text  # null in this result
    assert "TFLOP/s" not in text
    assert "0.50 GiB" in text
    page = Page(text)
    assert ("filters" in page.sections) == (case.get("kernel", ()) is not None)
    assert "layers" in page.sections


def test_a_profile_has_its_section(tmp_path, monkeypatch):
    operations = (
        Operation("dot.1", "jvp(Net)/conv1/<dot>", "convolutions and matrix products", 3.0, 0.6, 1.0),
        Operation("max.2", "jvp(Net)/pooling/max", "pooling", 1.5, 0.3, 2.0),
    )
    profile = StepProfile(10, 6, "GPU:0", 5.0, 0.5, operations)
    folder = finished_run(tmp_path / "run")
    monkeypatch.setattr(step_profile, "read", lambda folder: StepProfile(10, 6, "GPU:0", 0.0, 0.0, ()))
    assert "shows no operation of this run" in write_report(folder, few()).read_text()
    monkeypatch.setattr(step_profile, "read", lambda folder: profile)
    index = write_report(folder, few())
    text, page = index.read_text(), Page(index.read_text())
    assert page.sections == [*SECTIONS[:-1], "profile", "config", "provenance"]
    assert (index.parent / "step_time.png").exists()
    assert "Traced on GPU:0 from step 10 to 16" in text
    assert "5.000 ms per step" in text
    assert '<td>idle</td><td class="n">0.500</td><td class="n">10.0 %</td>' in text
    assert "conv1/&lt;dot&gt;" in text
    assert "the 2 longest of 2 operations" in text


def test_a_new_report_replaces_the_old(tmp_path):
    folder = finished_run(tmp_path / "run")
    index = write_report(folder, few())
    (folder.report / "stale.png").write_bytes(b"")
    # An older version's result does not tell of the performance.
    folder.write(
        "result.json", {name: value for name, value in folder.read("result.json").items() if name[:4] != "perf"}
    )
    assert write_report(folder, few()) == index
    assert "speed" not in Page(index.read_text()).sections
    assert not (folder.report / "stale.png").exists()
    assert [entry.name for entry in folder.path.glob(".report*")] == []


def test_a_declared_metric_has_its_figure_and_its_curve(tmp_path, monkeypatch):
    brier = Metric("brier", title="Brier score", unit="", meaning="mean squared distance", higher_is_better=False)
    monkeypatch.setattr(metrics, "METRICS", (*metrics.METRICS, brier))
    folder = finished_run(tmp_path / "run")
    folder.write("result.json", folder.read("result.json") | {"test_brier": 0.125})
    folder.metrics.write_text(folder.metrics.read_text().replace('"accuracy": 0.5', '"brier": 0.25, "accuracy": 0.5'))
    index = write_report(folder, few())
    assert "<b>0.1250</b><span>test Brier score</span>" in index.read_text()
    assert (index.parent / "brier.png").exists()
    assert 'alt="Brier score by epoch"' in index.read_text()


def test_a_run_that_is_not_finished_has_no_report(tmp_path):
    folder = finished_run(tmp_path / "run")
    (folder.path / "result.json").unlink()
    with pytest.raises(RunFolderError, match="no finished run"):
        write_report(folder, few())


@pytest.mark.parametrize("width", [1200, 390])
def test_in_a_browser(whole, browser, width):
    show(browser, whole, width)
    lies_well(browser, width, SECTIONS, 8)


def test_images_of_many_channels_are_maps():
    images = np.zeros((3, 4, 4, 5), np.float32)
    images[1, :, :, 2] = 255
    figure = pictures.samples(images, np.array([0, 1, 1]), np.eye(2, dtype=np.float32)[[0, 1, 0]], ("a", "b"), "Images")
    maps = [axes for axes in figure.axes if axes.images]
    assert len(maps) == 15
    np.testing.assert_array_equal(maps[7].images[0].get_array(), np.full((4, 4), 255))
    assert [axes.get_title() for axes in maps[:5]] == ["1", "2", "3", "4", "5"]
    assert "true: b" in "\n".join(text.get_text() for axes in figure.axes for text in axes.texts)
