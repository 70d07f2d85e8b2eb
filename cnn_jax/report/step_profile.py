"""Breakdown of a step's time, from a run's trace."""

from __future__ import annotations

import collections
import dataclasses
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax

from cnn_jax.report import program
from cnn_jax.report.program import CONTAINERS, Kind, Program
from cnn_jax.run.errors import RunFolderError, explain
from cnn_jax.run.records import TracedSteps, parse
from cnn_jax.train.profiling import DESCRIPTION, FOLDER, PROGRAM


class Span(NamedTuple):
    """One call of an operation, with start and end in nanoseconds."""

    operation: str
    start: float
    end: float


class Operation(NamedTuple):
    """All calls of one operation.

    Attributes:
      name: Name in XLA's program.
      source: JAX's name of its position in the code.
      kind: Kind of its work.
      milliseconds: Time per step, in milliseconds.
      share: Fraction of the step's time.
      calls: Number of calls per step.
    """

    name: str
    source: str
    kind: Kind
    milliseconds: float
    share: float
    calls: float

    @property
    def layer(self) -> str:
        """The part of the network that it belongs to, forward or backward; empty outside the network."""
        found = re.search(r"jvp\(\w+\)+/([^/]+)/", self.source)
        return found[1] if found else ""


@dataclasses.dataclass(frozen=True)
class StepProfile:
    """Time of a step, averaged over the traced steps; it includes some time for tracing.

    Attributes:
      first_step: Number of the first traced step, counted from the run's first.
      steps: Number of traced steps.
      device: Device that was profiled.
      milliseconds: Time of a step, in milliseconds.
      idle_milliseconds: Time of a step without a running operation, in milliseconds.
      operations: Operations, the longest first; with the idle time they add up to the step's time.
    """

    first_step: int
    steps: int
    device: str
    milliseconds: float
    idle_milliseconds: float
    operations: tuple[Operation, ...]

    @property
    def kinds(self) -> list[tuple[str, float, float]]:
        """(kind, milliseconds, share) of a step's time, the longest first, idle time last."""
        totals: collections.Counter[str] = collections.Counter()
        for operation in self.operations:
            totals[operation.kind] += operation.milliseconds  # type: ignore[assignment]  # a Counter of floats
        rows = [*totals.most_common(), ("idle", self.idle_milliseconds)]
        return [(kind, spent, spent / self.milliseconds) for kind, spent in rows]


def read(run_folder: Path) -> StepProfile | None:
    """Reads the trace in a run's folder.

    Args:
      run_folder: Folder of a run that may have been profiled.

    Returns:
      The profile, or None if there is none. It has no operations if the trace has none of the run's program.

    Raises:
      RunFolderError: If one of its files is damaged.
    """
    folder = run_folder / FOLDER
    traces = sorted(folder.glob("plugins/profile/*/*.xplane.pb"))
    if not traces or not (folder / DESCRIPTION).exists():
        return None
    try:
        traced = parse(TracedSteps, (folder / DESCRIPTION).read_bytes())
        compiled = program.read((folder / PROGRAM).read_text(encoding="utf-8"))
        device, spans = spans_of(jax.profiler.ProfileData.from_serialized_xspace(traces[-1].read_bytes()), compiled)
    except (OSError, ValueError, RuntimeError) as error:  # RuntimeError: damaged trace
        reason = explain(error) or str(error)
        raise RunFolderError(
            f"--workdir: the trace in {folder} cannot be read: {reason}; "
            "move the folder aside, and `report` does without"
        ) from error
    return profile(traced.first_step, traced.steps, device, spans, compiled) if traced.steps else None


def profile(first_step: int, steps: int, device: str, spans: Sequence[Span], compiled: Program) -> StepProfile:
    """Sums the time of every operation.

    Args:
      first_step, steps, device: Fields of the `StepProfile`.
      spans: Calls of operations in the traced steps, in any order.
      compiled: Program that was traced.

    Returns:
      The profile.
    """
    taken, idle = share_time(spans)
    calls = collections.Counter(span.operation for span in spans)
    whole = sum(taken.values()) + idle
    each = 1e6 * steps
    operations = [
        Operation(name, compiled.source(name), compiled.kind(name), spent / each, spent / whole, calls[name] / steps)
        for name, spent in sorted(taken.items(), key=lambda pair: -pair[1])
    ]
    return StepProfile(first_step, steps, device, whole / each, idle / each, tuple(operations))


def share_time(spans: Iterable[Span]) -> tuple[dict[str, float], float]:
    """Attributes the time from the first start to the last end to operations.

    When several operations run at once, on threads of a CPU or streams of a GPU, the time is divided evenly among them,
    so that all times add up to the elapsed time.

    Args:
      spans: Spans of time in any order.

    Returns:
      (nanoseconds by operation, idle nanoseconds).
    """
    edges = sorted(
        (moment, begins, number, span.operation)
        for number, span in enumerate(spans)
        if span.end > span.start
        for moment, begins in ((span.start, True), (span.end, False))
    )
    taken: dict[str, float] = collections.defaultdict(float)
    running: dict[int, str] = {}
    idle, before = 0.0, edges[0][0] if edges else 0.0
    for moment, begins, number, operation in edges:
        for each in running.values():
            taken[each] += (moment - before) / len(running)
        if not running:
            idle += moment - before
        before = moment
        if begins:
            running[number] = operation
        else:
            del running[number]
    return dict(taken), idle


def spans_of(trace: jax.profiler.ProfileData, compiled: Program) -> tuple[str, list[Span]]:
    """Finds the calls of a program's operations in a trace, on its first device.

    Each GPU or TPU has its own plane. On a CPU, operations are events of the host's threads. If an operation continues
    on another thread, a second event marks its end, and ids connect the two.

    Args:
      trace: Trace in XProf's format.
      compiled: Program that was traced.

    Returns:
      (the device's name, the spans).
    """
    planes = {plane.name: plane for plane in trace.planes}
    devices = sorted(name for name in planes if name.startswith("/device:") and "CUSTOM" not in name)
    for name in devices:
        lines = list(planes[name].lines)
        lines = [line for line in lines if line.name == "XLA Ops"] or lines
        spans = [span for line in lines for event in line.events for span in _span(event, compiled)]
        if spans:
            return name.removeprefix("/device:"), spans
    spans, starts, ends = [], {}, {}
    for line in planes["/host:CPU"].lines if "/host:CPU" in planes else ():
        for event in line.events:
            stats = dict(event.stats)
            if "hlo_op" in stats and stats.get("device_ordinal", 0) == 0:
                for span in _span(event, compiled):
                    spans.append(span)
                    starts[stats.get("_p")] = len(spans) - 1
            elif event.name.startswith("end: "):
                ends[stats.get("_c")] = event.end_ns
    for number, place in starts.items():
        if number is not None and number in ends:
            spans[place] = spans[place]._replace(end=max(spans[place].end, ends[number]))
    return "CPU", spans


def _span(event: Any, compiled: Program) -> list[Span]:
    """Converts an event to a span if it is an operation of the program that runs no others."""
    stats = dict(event.stats)
    name = str(stats.get("hlo_op") or event.name).split(" = ")[0].lstrip("%")
    known = compiled.instructions.get(name)
    if known is None or known.opcode in CONTAINERS or stats.get("hlo_module", compiled.name) != compiled.name:
        return []
    return [Span(name, event.start_ns, event.end_ns)]
