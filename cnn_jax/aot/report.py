"""Formats the findings of `compile` for a terminal and as JSON; all figures are per chip."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterator
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from cnn_jax.aot import collectives, matrix_unit
from cnn_jax.aot.finding import Step, advice, device_memory
from cnn_jax.aot.gpu_program import GpuProgram
from cnn_jax.aot.job import Compiled, Failed, OutOfMemory
from cnn_jax.aot.run import Findings
from cnn_jax.config import Experiment

_GIB = 2**30
_MOST_WASTEFUL = 5  # number of listed layers


def as_table(findings: Findings, experiment: Experiment) -> RenderableType:
    """Returns the findings for a terminal."""
    lines = [line for step in findings.steps for line in _troubles(step, experiment)]
    if findings.tried:
        lines.append(_largest(findings))
    parts: list[RenderableType] = [_costs(findings) if any(map(_compiled, findings.steps)) else _heading(findings)]
    parts += map(Text, lines)
    answers = [step.outcome.answer for step in findings.steps]
    fillings = next((answer.fillings for answer in answers if isinstance(answer, Compiled)), ())
    if fillings and findings.chip is not None:
        parts.append(_waste(fillings, findings.chip.matrix_unit))
    return Group(*parts)


def as_json(findings: Findings, experiment: Experiment) -> str:
    """Returns all findings as JSON, in bytes, seconds and FLOPs."""
    return json.dumps(
        {
            "topology": findings.topology,
            "chip": None if findings.chip is None else dataclasses.asdict(findings.chip),
            "image_shape": findings.image_shape,
            "classes": findings.classes,
            "steps": [_step_as_json(step, experiment) for step in findings.steps],
            "tried": [dataclasses.asdict(one) for one in findings.tried],
        },
        indent=2,
    )


def _step_as_json(step: Step, experiment: Experiment) -> dict[str, Any]:
    answer, per_chip = step.outcome.answer, step.chip.devices if step.chip else 1
    fields: dict[str, Any] = {
        "program": step.program,
        "outcome": answer.kind,
        "batch_per_chip": step.batch_per_chip,
        "memory_share": step.memory_share,
        "fits": step.fits,
        "failures": [{"options": options, "message": message} for options, message in step.outcome.failures],
        "fallback": step.outcome.fallback,
    }
    if not isinstance(answer, Compiled):
        return fields | {"message": answer.message, "advice": advice(step, experiment)}
    exchanged = collectives.totals(answer.collectives)
    return fields | {
        "device_kind": answer.device_kind,
        "devices": answer.devices,
        "memory": {name: per_chip * size for name, size in dataclasses.asdict(answer.memory).items()},
        "flops": per_chip * answer.flops,
        "model_flops": per_chip * answer.model_flops,
        "bytes": per_chip * answer.traffic,
        "bytes_by_the_compiler": None if answer.counted is None else per_chip * answer.counted,
        "collectives": [
            {"operation": operation, "carries": carries, "count": count, "bytes": per_chip * size}
            for (operation, carries), (count, size) in exchanged.items()
        ],
        "roofline_estimate": None if step.roofline is None else dataclasses.asdict(step.roofline),
        "matrix_unit_waste": matrix_unit.waste(answer.fillings) if answer.fillings else None,
        "matrix_unit": [dataclasses.asdict(filling) for filling in answer.fillings],
        "compile_seconds": answer.seconds,
        "gpu": None if answer.gpu is None else dataclasses.asdict(answer.gpu),
        "work_during_collectives": [
            {"operation": each.operation, "carries": each.carries, "bytes": each.bytes, "flops": each.work}
            for each in answer.collectives
        ],
        "advice": advice(step, experiment),
    }


def _compiled(step: Step) -> bool:
    return isinstance(step.outcome.answer, Compiled)


def _heading(findings: Findings) -> str:
    chip, (height, width, channels) = findings.chip, findings.image_shape
    peaks = "peaks not known"
    if chip is not None:
        peaks = f"{chip.flops / 1e12:g} TFLOP/s {chip.narrowest}, {chip.bandwidth / 1e9:g} GB/s"
        peaks = f"{peaks}, {chip.memory / _GIB:.0f} GiB"
    return (
        f"{findings.topology}, images of {height}x{width}x{channels}, {findings.classes} classes; of one chip ({peaks})"
    )


def _costs(findings: Findings) -> Table:
    table = Table(
        title=_heading(findings),
        title_justify="left",
        caption="Step time, images per second and utilisation are an estimate by roofline: the larger of FLOPs and "
        "bytes over the chip's\npublished peaks, no communication; a real step takes longer.",
        caption_justify="left",
    )
    table.add_column("")
    for step in findings.steps:
        table.add_column(f"{step.program} step", justify="right")
    for name, cell in _ROWS:
        table.add_row(name, *(cell(step) if _compiled(step) else "" for step in findings.steps))
    on_gpu = any(isinstance(step.outcome.answer, Compiled) and step.outcome.answer.gpu for step in findings.steps)
    for name, cell in _GPU_ROWS if on_gpu else ():
        table.add_row(name, *(cell(step) if _compiled(step) else "" for step in findings.steps))
    exchanged = [
        collectives.totals(step.outcome.answer.collectives) if isinstance(step.outcome.answer, Compiled) else {}
        for step in findings.steps
    ]
    for key in dict.fromkeys(key for each in exchanged for key in each):
        cells = []
        for step, each in zip(findings.steps, exchanged, strict=True):
            count, size = each.get(key, (0, 0))
            cells.append(f"{count}: {_decimal(size * _per_chip(step), 'B')}" if count else "none")
        table.add_row(f"{key[0]} of {key[1]}", *cells)
        if on_gpu:
            overlap = _figure(_overlap(*key))
            table.add_row(
                "  overlapping products", *(overlap(step) if _compiled(step) else "" for step in findings.steps)
            )
    return table


def _per_chip(step: Step) -> int:
    return step.chip.devices if step.chip else 1


def _figure(text: Callable[[Step, Compiled], str]) -> Callable[[Step], str]:
    """Returns a function that formats a cell of the table for a compiled step."""

    def cell(step: Step) -> str:
        assert isinstance(step.outcome.answer, Compiled)
        return text(step, step.outcome.answer)

    return cell


def _memory(kind: str) -> Callable[[Step], str]:
    return _figure(lambda step, answer: _binary(_per_chip(step) * getattr(answer.memory, kind)))


def _of_memory(step: Step, answer: Compiled) -> str:
    memory = device_memory(answer, step.chip)
    if memory is None or step.memory_share is None:
        return "not known"
    return f"{_binary(_per_chip(step) * memory)}: {step.memory_share:.1%}"


def _counted(step: Step, answer: Compiled) -> str:
    return "no count" if answer.counted is None else _decimal(_per_chip(step) * answer.counted, "B")


def _overlap(operation: str, carries: str) -> Callable[[Step, Compiled], str]:
    """Returns a function that formats the products during collectives; overlapping collectives each count them."""

    def cell(_: Step, answer: Compiled) -> str:
        works = [
            each.work
            for each in answer.collectives
            if (each.operation, " + ".join(each.carries)) == (operation, carries)
        ]
        if not works:
            return "none"
        waiting = sum(not work for work in works)
        most = max(work or 0.0 for work in works)
        return f"up to {_decimal(most, 'FLOP')}; {waiting} without" if waiting else f"up to {_decimal(most, 'FLOP')}"

    return cell


def _gpu(text: Callable[[GpuProgram], str]) -> Callable[[Step], str]:
    return _figure(lambda step, answer: text(answer.gpu) if answer.gpu else "")


def _launches(program: GpuProgram) -> str:
    found = program.launches
    if found is None:
        return "unknown"
    return f"{found.kernels:,}: {found.graphs:,} graphs, {found.alone:,} outside"


_GPU_ROWS: tuple[tuple[str, Callable[[Step], str]], ...] = (
    ("kernels a step: CUDA graphs", _gpu(_launches)),
    (
        "convolutions",
        _gpu(lambda program: ", ".join(f"{count} {layout}" for layout, count in program.convolutions) or "none"),
    ),
    ("  of 1 to 3 channels in half precision", _gpu(lambda program: f"{program.narrow:,}")),
    ("  grouped", _gpu(lambda program: f"{program.grouped:,}")),
    (
        "copies and transposes",
        _gpu(lambda program: f"{program.rearranged:,}: {_decimal(program.rearranged_bytes, 'B')}"),
    ),
)


def _estimate(text: Callable[[Any], str]) -> Callable[[Step], str]:
    return lambda step: "peaks not known" if step.roofline is None else text(step.roofline)


def _binary(size: float) -> str:
    """Formats bytes of memory with binary prefixes."""
    return f"{size / _GIB:.2f} GiB" if size >= _GIB / 10 else f"{size / 2**20:.2f} MiB"


def _decimal(amount: float, unit: str) -> str:
    """Formats an amount with a decimal prefix."""
    for prefix, factor in (("T", 1e12), ("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if amount >= factor:
            return f"{amount / factor:.3g} {prefix}{unit}"
    return f"{amount:.3g} {unit}"


_ROWS: tuple[tuple[str, Callable[[Step], str]], ...] = (
    ("images", lambda step: f"{step.batch_per_chip:,}"),
    ("images, all chips", _figure(lambda step, answer: f"{answer.devices * answer.batch:,}")),
    ("memory: state and batch", _memory("arguments")),
    ("memory: other results", _memory("outputs")),
    ("memory: temporaries", _memory("temporaries")),
    ("memory: program", _memory("code")),
    ("memory, total", _memory("total")),
    ("  of the chip's", _figure(_of_memory)),
    ("arithmetic of the program", _figure(lambda step, answer: _decimal(_per_chip(step) * answer.flops, "FLOP"))),
    ("arithmetic of the network", _figure(lambda step, answer: _decimal(_per_chip(step) * answer.model_flops, "FLOP"))),
    ("to and from memory", _figure(lambda step, answer: _decimal(_per_chip(step) * answer.traffic, "B"))),
    ("  by the compiler's count", _figure(_counted)),
    ("step time, estimate", _estimate(lambda line: f"{1e3 * line.seconds:.3g} ms")),
    ("  bound by", _estimate(lambda line: str(line.bound))),
    ("images per second, estimate", _estimate(lambda line: f"{line.images_per_second:,.0f}")),
    ("model-FLOPs utilisation, estimate", _estimate(lambda line: f"{line.utilisation:.1%}")),
    ("compiled in", _figure(lambda step, answer: f"{answer.seconds:.0f} s")),
)


def _troubles(step: Step, experiment: Experiment) -> Iterator[str]:
    """Yields the problems of a step, and suggestions."""
    answer = step.outcome.answer
    if isinstance(answer, Compiled) and step.outcome.fallback is not None:
        yield f"{step.program} step: the compiler failed, and succeeded with {step.outcome.fallback}"
    if isinstance(answer, OutOfMemory):
        reason = answer.message.splitlines()[0]
        yield f"{step.program} step, {step.batch_per_chip} images a chip: DOES NOT FIT. {reason}"
    elif isinstance(answer, Failed):
        others = "".join(f"; also with {options}" for options, _ in step.outcome.failures)
        yield f"{step.program} step: NOT COMPILED, the compiler failed{others}: {answer.message}"
    elif not step.fits:
        yield f"{step.program} step: DOES NOT FIT: it takes {step.memory_share:.0%} of the memory"
    for sentence in advice(step, experiment):
        yield f"  try {sentence}"


def _largest(findings: Findings) -> str:
    fitting = [one for one in findings.tried if one.fits]
    beyond = [one for one in findings.tried if not one.fits]
    tried = f"{len(findings.tried)} batches compiled"
    if not fitting:
        return f"largest batch: none fits, not even {findings.tried[0].batch} images a chip ({tried})"
    best = fitting[-1]
    share = "" if best.share is None else f", {best.share:.0%} of the memory"
    more = f"; {beyond[0].batch} do not" if beyond else ""
    return f"largest batch that fits the train step: {best.batch} images a chip{share}{more} ({tried})"


def _waste(fillings: tuple[matrix_unit.Filling, ...], side: int | None) -> Table:
    table = Table(
        title=f"Padding on the {side}x{side} matrix unit, forward: at least {matrix_unit.waste(fillings):.0%} of its "
        "work; most of it in",
        title_justify="left",
    )
    table.add_column("layer")
    for heading in ("taps x inputs", "outputs", "padding", "share of the padded work"):
        table.add_column(heading, justify="right")
    padded = {each.layer: each.multiply_adds / (1 - each.waste) for each in fillings}
    total = sum(padded.values())
    for each in sorted(fillings, key=lambda one: one.waste * padded[one.layer], reverse=True)[:_MOST_WASTEFUL]:
        table.add_row(
            each.layer, f"{each.rows:,}", f"{each.columns:,}", f"{each.waste:.0%}", f"{padded[each.layer] / total:.1%}"
        )
    return table
