"""A comparison of runs as JSON, as CSV, and as tables for a terminal."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
from typing import Any

from cnn_jax.plain_text import valid_unicode
from cnn_jax.report.comparison import Comparison, Line
from cnn_jax.run.metrics import PRIMARY, Metric
from cnn_jax.sweep.points import value_text
from cnn_jax.sweep.statistics import Estimate

_FIELDS, _COLUMNS = 30, 6  # maximum size of the terminal's table of config fields


def field_text(value: Any) -> str:
    """Formats a config value for the tables."""
    return "none" if value is None else value_text(value)


def as_json(comparison: Comparison) -> str:
    """Formats the comparison as a JSON object."""
    entries = []
    for index, line in enumerate(comparison.lines):
        difference = line.difference
        entries.append(
            {
                "name": line.entry.name,
                "folders": [valid_unicode(str(run.path)) for run in line.entry.runs],
                "seeds": [run.row.seed if run.row.seed >= 0 else None for run in line.entry.runs],
                "finished": line.finished,
                "test_images": line.test_images,
                **{f"test_{name}": dataclasses.asdict(found) for name, found in line.metrics.items()},
                "interval_over": line.over or None,
                **{each.column.name: mean for each, mean in zip(comparison.columns, line.means, strict=True)},
                "difference": difference
                and {
                    **dataclasses.asdict(difference.estimate),
                    "unpaired": difference.n_unpaired,
                    "p_value": difference.p_value,
                    "p_holm": difference.p_holm,
                    "p_sign": line.sign,
                },
                "config": {field: values[index] for field, values in comparison.fields.items()},
            }
        )
    content = {
        "entries": entries,
        "warnings": [*comparison.warnings, *comparison.conditions],
        "notes": [
            dict(zip(("name", "folder", "note"), map(valid_unicode, note), strict=True)) for note in comparison.notes
        ],
    }
    return json.dumps(content, indent=2) + "\n"


def as_csv(comparison: Comparison) -> str:
    """Formats the comparison as CSV with one line per entry."""
    names = [metric.name for metric in comparison.metrics]
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    further = [each.column.name for each in comparison.columns]
    ends = [f"test_{name}{end}" for name in names for end in ("", "_low", "_high")]
    tests = ("difference", "difference_low", "difference_high", "p_value", "p_holm", "p_sign")
    writer.writerow(["name", "seeds", "finished", "test_images", *ends, *further, *tests, *comparison.fields])
    for index, line in enumerate(comparison.lines):
        found = [line.metrics[name] for name in names]
        difference = line.difference
        tested: tuple[float | None, ...] = (None,) * 5
        if difference is not None:
            paired = difference.estimate
            tested = (paired.mean, paired.low, paired.high, difference.p_value, difference.p_holm)
        writer.writerow(
            [
                *(line.entry.name, line.seeds, line.finished, line.test_images),
                *(value for each in found for value in (each.mean, each.low, each.high)),
                *line.means,
                *tested,
                line.sign,
                *(field_text(values[index]) for values in comparison.fields.values()),
            ]
        )
    return file.getvalue()


def as_tables(comparison: Comparison) -> Any:
    """Formats the comparison for a terminal: metrics, config fields that differ, warnings and notes."""
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    from cnn_jax.terminal import cell

    figures = Table(title="test images", title_justify="left")
    for heading in ("", "run", "seeds", "finished"):
        figures.add_column(heading, justify="left" if heading in ("run", "seeds") else "right", overflow="fold")
    for metric in comparison.metrics:
        figures.add_column(metric.label, justify="right")
        if metric is PRIMARY:
            figures.add_column("95 % interval over")
    for heading in ("difference from 1", "95 % interval", "p (t, Holm)", "p (sign)"):
        figures.add_column(heading, justify="right")
    for line in comparison.lines:
        difference = line.difference
        paired = Estimate(0) if difference is None else difference.estimate
        figures.add_row(
            str(line.number),
            cell(line.entry.name, 48),
            line.seeds,
            f"{line.finished} of {len(line.entry.runs)}",
            *(text for metric in comparison.metrics for text in _metric_texts(metric, line)),
            "" if paired.mean is None else _shown(paired.mean, "+"),
            _interval(paired, "+"),
            "" if difference is None or difference.p_holm is None else f"{difference.p_holm:.3g}",
            "" if line.sign is None else f"{line.sign:.3g}",
        )
    parts: list[Any] = [figures]
    fields = list(comparison.fields.items())
    shown = fields[:_FIELDS] if len(comparison.entries) <= _COLUMNS else []
    if shown:
        config = Table(title="config fields that differ", title_justify="left")
        config.add_column("field")
        for line in comparison.lines:
            config.add_column(str(line.number), overflow="fold")
        for field, values in shown:
            config.add_row(cell(field), *(cell(field_text(value), 40) for value in values))
        parts.append(config)
    if not fields:
        parts.append(Text("all known configs differ only in the seed and the locations of files"))
    elif len(shown) < len(fields):
        parts.append(Text(f"config fields that differ, shown only on the page: {len(fields) - len(shown)}"))
    for warning in (*comparison.warnings, *comparison.conditions):
        parts.append(cell(f"warning: {warning}"))
    parts += [cell(f"{name} ({folder}): {note}") for name, folder, note in comparison.notes[:20]]
    return Group(*parts)


def _metric_texts(metric: Metric, line: Line) -> list[str]:
    """Formats a metric's mean, with its interval for the primary metric."""
    found = line.metrics[metric.name]
    mean = "" if found.mean is None else metric.form.format(metric.scale * found.mean)
    if metric is not PRIMARY:
        return [mean]
    interval = _interval(found)
    return [mean, interval and f"{interval}, {line.over}"]


def _interval(found: Estimate, sign: str = "") -> str:
    """Ends of the interval of the primary metric; empty if it has none."""
    if found.low is None or found.high is None:
        return ""
    return f"{_shown(found.low, sign)} to {_shown(found.high, sign)}"


def _shown(value: float, sign: str = "") -> str:
    return PRIMARY.form.replace(":", f":{sign}").format(PRIMARY.scale * value)
