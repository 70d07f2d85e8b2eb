"""Compares two runs of one trial: bit for bit if their conditions are equal, else within a tolerance."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

from cnn_jax.run.provenance import differences
from cnn_jax.run.records import MetricRecord, Provenance

# Tolerances across hardware and versions: their rounding differs, and training amplifies it at each step.
ACCURACY_TOLERANCE = 0.01
LOSS_TOLERANCE = 0.05  # relative to the loss

_TIMES = ("seconds", "images_per_second")


@dataclasses.dataclass(frozen=True)
class Evidence:
    """The comparable part of a trial's run.

    Attributes:
      records: Content of metrics.jsonl.
      provenance: Content of provenance.json.
      cores: Number of processor cores that it ran on; None if that is not known.
    """

    records: tuple[MetricRecord, ...]
    provenance: Provenance
    cores: int | None


@dataclasses.dataclass(frozen=True)
class Verdict:
    """Result of the comparison of two runs.

    Attributes:
      exact: Whether all bits had to be equal; else the tolerances apply.
      reason: Reason for the tolerances; empty if `exact`.
      difference: First figure that differs too much; None if the runs match.
    """

    exact: bool
    reason: str
    difference: str | None

    def __str__(self) -> str:
        how = "bit for bit" if self.exact else f"within the tolerance ({self.reason})"
        return f"matches {how}" if self.difference is None else f"differs, held {how}: {self.difference}"


def compare(first: Evidence, second: Evidence) -> Verdict:
    """Compares all figures of two runs except times.

    Args:
      first, second: Evidence of two runs of one config on the same data.

    Returns:
      The verdict, on all figures of all records if exact, else on the last test figures.
    """
    reason = _unlike(first, second)
    if not reason:
        return Verdict(True, "", _first_difference(first.records, second.records))
    ends = [
        next((record.values for record in reversed(each.records) if record.split == "test"), {})
        for each in (first, second)
    ]
    accuracies, losses = ([end.get(name, math.nan) for end in ends] for name in ("accuracy", "loss"))
    difference = None
    if any(map(math.isnan, accuracies + losses)):
        difference = "test accuracy or loss is missing"
    elif abs(accuracies[0] - accuracies[1]) > ACCURACY_TOLERANCE:
        difference = f"test accuracy {accuracies[0]:.4f} and {accuracies[1]:.4f}"
    elif abs(losses[0] - losses[1]) > LOSS_TOLERANCE * abs(losses[0]):
        difference = f"test loss {losses[0]:.4f} and {losses[1]:.4f}"
    return Verdict(False, reason, difference)


def _unlike(first: Evidence, second: Evidence) -> str:
    """Conditions that differ, so that two runs need not be equal bit for bit; empty if none does."""
    reasons = []
    known = all(each.provenance.devices.used_cores is not None for each in (first, second))
    for name in ("packages", "python", "devices", "xla_flags"):
        was, now = (getattr(each.provenance, name) for each in (first, second))
        if name == "devices" and not known:  # older versions do not record the cores in use
            was, now = (devices.model_copy(update={"used_cores": None}) for devices in (was, now))
        if was != now:
            reasons.append(f"other {name.replace('_', ' ')}")
    was, now = (each.provenance.trained_together for each in (first, second))
    if was != now:
        reasons.append(f"trained together with {was - 1} and with {now - 1} others")
    if first.cores != second.cores:
        reasons.append(f"{first.cores} and {second.cores} cores")
    if first.provenance.git != second.provenance.git:
        reasons.append("other code")
    if any(line.startswith("settings.") for line in differences(first.provenance, second.provenance)):
        reasons.append("other settings")
    if first.provenance.changes or second.provenance.changes:
        reasons.append("resumed under other conditions")
    return ", ".join(reasons)


def _first_difference(first: Sequence[MetricRecord], second: Sequence[MetricRecord]) -> str | None:
    """First figure that differs between two lists of records; None if all are equal."""
    if len(first) != len(second):
        return f"{len(first)} and {len(second)} records"
    for one, other in zip(first, second, strict=True):
        if (one.step, one.split) != (other.step, other.split):
            return f"{one.split} at step {one.step}, and {other.split} at step {other.step}"
        for name in sorted({*one.values, *other.values} - set(_TIMES)):
            was, now = one.values.get(name, math.nan), other.values.get(name, math.nan)
            if was != now:
                return f"{one.split} {name} at step {one.step}: {was!r} and {now!r}"
    return None
