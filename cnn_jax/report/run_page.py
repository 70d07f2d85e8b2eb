"""Report of a run: a self-contained HTML page and its figures."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from matplotlib.figure import Figure

from cnn_jax import plain_text
from cnn_jax.config import parsing
from cnn_jax.data.split import Split
from cnn_jax.layer_rows import LayerRow
from cnn_jax.report import classification, pictures, plots, report_folder, step_profile
from cnn_jax.report.step_profile import StepProfile
from cnn_jax.run import metrics
from cnn_jax.run.errors import RunFolderError
from cnn_jax.run.folder import RunFolder
from cnn_jax.run.metrics import Metric
from cnn_jax.run.metrics_log import TEST, TRAIN, TRAIN_WINDOW, VALIDATION
from cnn_jax.run.records import MetricRecord, Result

_NAME = 60  # maximum characters of a class name in a table
_GRID = 24  # pictures in a grid
_OPERATIONS = 25  # operations of a step that are listed


@dataclasses.dataclass(frozen=True)
class ReportInputs:
    """Content of a report that is not in the files of the run's folder.

    Attributes:
      test: Test images; only some of them if there are very many.
      tested: Number of all test images.
      class_names: Names of the classes in label order.
      probabilities: Probabilities of all classes, for each test image.
      first_kernel: Kernel of the first convolution; None if there is none.
      layers: Rows of the layer table.
      warnings: Warnings about the data set.
    """

    test: Split
    tested: int
    class_names: tuple[str, ...]
    probabilities: Float[np.ndarray, "n k"]
    first_kernel: Float[np.ndarray, "kh kw c o"] | None
    layers: Sequence[LayerRow]
    warnings: Sequence[str] = ()


def write_report(folder: RunFolder, inputs: ReportInputs) -> Path:
    """Writes report/index.html and its PNG files; replaces an older report atomically.

    Args:
      folder: Folder of a finished run.
      inputs: Content that the run's files do not hold.

    Returns:
      The path of index.html.

    Raises:
      RunFolderError: If a file of the run is missing or damaged.
    """
    result = folder.result()
    if result is None:
        raise RunFolderError(f"--workdir: {folder.path} has no result.json: no finished run; train there first")
    records = folder.metric_records()
    report = classification.per_class(inputs.test.labels, inputs.probabilities.argmax(axis=1), inputs.class_names)
    profile = step_profile.read(folder.path)
    images = {name: report_folder.png(figure) for name, figure in _figures(records, inputs, profile).items()}
    page = _render(folder, inputs, result, records, report, profile, images)
    files = {f"{name}.png": content for name, content in images.items()}
    files["classification_report.json"] = f"{json.dumps(report, indent=2)}\n".encode()
    files["index.html"] = page.encode()
    return report_folder.replace(folder.report, files)


def _figures(records: Sequence[MetricRecord], inputs: ReportInputs, profile: StepProfile | None) -> dict[str, Figure]:
    labels, names, probabilities = inputs.test.labels, inputs.class_names, inputs.probabilities
    predicted = probabilities.argmax(axis=1)
    rates = [point for split in (TRAIN_WINDOW, TRAIN) for point in _points(records, split, "learning_rate")]
    wrong = np.flatnonzero(predicted != labels)
    mistakes = wrong[np.argsort(-probabilities[wrong].max(axis=1), kind="stable")][:_GRID]
    figures = {metric.name: plots.curves(_series(records, metric), metric) for metric in _curves(records)}
    figures |= {
        "learning_rate": plots.learning_rate(sorted(rates)),
        "confusion_matrix": plots.confusion(classification.confusions(labels, predicted, len(names)), names),
        "calibration": plots.reliability(classification.calibration(labels, probabilities)),
        "samples": _grid(inputs, np.arange(min(_GRID, len(labels))), "The first test images"),
    }
    if len(mistakes):
        figures["mistakes"] = _grid(inputs, mistakes, "The most confident mistakes")
    if inputs.first_kernel is not None:
        figures["filters"] = pictures.filters(inputs.first_kernel)
    if profile is not None and profile.operations:
        figures["step_time"] = plots.step_time(profile, _OPERATIONS)
    return figures


def _grid(inputs: ReportInputs, chosen: np.ndarray, title: str) -> Figure:
    test = inputs.test
    return pictures.samples(
        test.images[chosen], test.labels[chosen], inputs.probabilities[chosen], inputs.class_names, title
    )


def _curves(records: Sequence[MetricRecord]) -> list[Metric]:
    """Lists the measured metrics that have a learning curve."""
    return [
        metric
        for metric in metrics.METRICS
        if "curves" in metric.shown_in and any(metric.name in record.values for record in records)
    ]


def _series(records: Sequence[MetricRecord], metric: Metric) -> dict[str, list[tuple[float, float]]]:
    return {split: _points(records, split, metric.name) for split in (TRAIN, VALIDATION, TEST)}


def _points(records: Sequence[MetricRecord], split: str, value: str) -> list[tuple[float, float]]:
    return [
        (record.epoch, record.values[value]) for record in records if record.split == split and value in record.values
    ]


def _shown(result: Result, tested: int) -> list[tuple[str, str, str]]:
    """Returns the test metrics at the top of the page: (value, name, interval of a proportion or "")."""
    shown = []
    for metric in metrics.METRICS:
        value = result.test[metric.name]
        if value is None or "figures" not in metric.shown_in:
            continue
        interval = ""
        if metric.is_share:
            low, high = classification.wilson_interval(round(value * tested), tested)
            interval = f"95 % interval {metric.form.format(100 * low)} to {metric.form.format(100 * high)}"
        shown.append((metric.shown(value), f"test {metric.title}", interval))
    return shown


def _render(
    folder: RunFolder,
    inputs: ReportInputs,
    result: Result,
    records: Sequence[MetricRecord],
    report: dict[str, Any],
    profile: StepProfile | None,
    images: dict[str, bytes],
) -> str:
    names = plain_text.distinct(inputs.class_names, _NAME)
    predicted = inputs.probabilities.argmax(axis=1)
    matrix = classification.confusions(inputs.test.labels, predicted, len(inputs.class_names))
    return report_folder.page(
        "report.html.j2",
        images,
        name=folder.path.resolve().name,
        result=result,
        primary_title=metrics.PRIMARY.title,
        primary=metrics.PRIMARY.shown(result.test[metrics.PRIMARY.name] or 0.0),
        figures=_shown(result, inputs.tested),
        curves=_curves(records),
        tested=inputs.tested,
        test_images=len(inputs.test),
        classes=list(zip(names, list(report.values())[: len(names)], strict=True)),
        averages=[(name, report[name]) for name in classification.AVERAGES],
        confused=classification.most_confused(matrix, names, 10),
        layers=inputs.layers,
        profile=profile,
        operations=profile.operations[:_OPERATIONS] if profile else (),
        parameters=sum(row.parameters for row in inputs.layers),
        config=_flat(folder.read("config.json")),
        provenance=_flat(folder.read("provenance.json")),
        changes=folder.provenance().changes,
        warnings=inputs.warnings,
        validated=any(record.split == VALIDATION for record in records),
    )


def _flat(tree: dict[str, Any]) -> list[tuple[str, str]]:
    """Flattens a nested object to pairs (dotted name, text)."""
    return [
        (name, value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))
        for name, value in parsing.leaves(tree)
    ]
