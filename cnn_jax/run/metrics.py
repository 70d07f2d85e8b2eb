"""Metrics of a network, declared once: every table, report and statistic of them follows from this list.

To add a metric, declare it in METRICS; where it needs other sums over the examples, add them to TERMS of
`train/metrics.py`. It is then measured, read from and written to result.json as `test_NAME`, and has its column in a
sweep's tables, its figure and its curve in the reports, and its statistics.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, Literal

Place = Literal["figures", "curves", "trials", "points"]


@dataclasses.dataclass(frozen=True)
class Metric:
    """A metric of a network on a set of images.

    Attributes:
      name: Name in the records of metrics.jsonl; in result.json `test_` is put before it.
      title: Name as a person reads it.
      unit: Unit of the value; of a share, "%": it is stored as a fraction of 1 and shown in percent.
      meaning: Definition in one phrase.
      higher_is_better: Whether a greater value is the better one.
      required: Whether every result has it. Other metrics are null where they were not measured: for data sets for
        which they have no meaning, and in results of older versions.
      shown_in: Where it is shown: "figures" at the head of a run's report, "curves" over the epochs in a run's report,
        "trials" and "points" in the tables of a sweep's report; "points" includes points.csv.
      table_name: Name of its column in table.csv; empty for `test_NAME`.
      value: Its value by the sums over the examples (`train/metrics.py:TERMS`) and the number of classes; the value
        is None where it has no meaning. None where no sums give it.
    """

    name: str
    title: str
    unit: str
    meaning: str
    higher_is_better: bool
    required: bool = False
    shown_in: tuple[Place, ...] = ("figures", "curves", "trials", "points")
    table_name: str = ""
    value: Callable[[Any, int], float | None] | None = None

    @property
    def is_share(self) -> bool:
        """Whether the value is a share of the images."""
        return self.unit == "%"

    @property
    def scale(self) -> float:
        """Factor from a stored value to a shown one."""
        return 100.0 if self.is_share else 1.0

    @property
    def form(self) -> str:
        """Format of a shown value."""
        return "{:.2f}" if self.is_share else "{:.4f}"

    @property
    def label(self) -> str:
        """Title and unit, for headings and axes."""
        return f"{self.title} ({self.unit})" if self.unit else self.title

    @property
    def heading(self) -> str:
        """Title as the heading of a plot."""
        return self.title[:1].upper() + self.title[1:]

    @property
    def column(self) -> str:
        """Name of its column in a sweep's table."""
        return self.table_name or self.key

    @property
    def key(self) -> str:
        """Name of its test value in result.json."""
        return f"test_{self.name}"

    def shown(self, value: float) -> str:
        """Formats a value, with its unit."""
        return f"{self.form.format(value * self.scale)} {self.unit}".rstrip()

    def gain(self, value: float) -> float:
        """Turns a value into a number of which more is better."""
        return value if self.higher_is_better else -value


ACCURACY = Metric(
    "accuracy",
    title="accuracy",
    unit="%",
    meaning="share of images whose most probable class is their label",
    higher_is_better=True,
    required=True,
    value=lambda sums, classes: int(sums.correct) / int(sums.examples),
)
LOSS = Metric(
    "loss",
    title="loss",
    unit="nats",
    meaning="mean cross-entropy of an image's label, without label smoothing",
    higher_is_better=False,
    required=True,
    value=lambda sums, classes: float(sums.loss) / int(sums.examples),
)
TOP1_ERROR = Metric(
    "top1_error",
    title="top-1 error",
    unit="%",
    meaning="share of images whose most probable class is not their label",
    higher_is_better=False,
    required=True,
    shown_in=("figures",),
    table_name="top1_error",
    value=lambda sums, classes: int(sums.examples - sums.correct) / int(sums.examples),
)
TOP5_ERROR = Metric(
    "top5_error",
    title="top-5 error",
    unit="%",
    meaning="share of images whose label is not among the five most probable classes; none with five classes or fewer",
    higher_is_better=False,
    shown_in=("figures", "trials"),
    table_name="top5_error",
    value=lambda sums, classes: int(sums.examples - sums.correct_top5) / int(sums.examples) if classes > 5 else None,
)
METRICS: tuple[Metric, ...] = (ACCURACY, LOSS, TOP1_ERROR, TOP5_ERROR)
PRIMARY = ACCURACY  # the metric by which sweeps rank and compare
