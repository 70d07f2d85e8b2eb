"""`launch.py compile`: compiles the steps for accelerators that need not be attached."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

from cnn_jax.aot import topology
from cnn_jax.aot.request import CompileRequest
from cnn_jax.cli.command import Arguments, Command, Flag, attempt
from cnn_jax.cli.output import fail, refuse
from cnn_jax.cli.shared_flags import CONFIG, read_experiment
from cnn_jax.config import Experiment
from cnn_jax.config.parsing import ConfigError
from cnn_jax.run.exit_codes import DONE, FAILED


@dataclasses.dataclass(frozen=True)
class Request:
    """Parsed flags of the command.

    Attributes:
      experiment: Resolved config.
      compilation: Chips, batch, and image shape and classes if the config does not define them.
      json: File for the figures; None writes none.
    """

    experiment: Experiment
    compilation: CompileRequest
    json: Path | None


def read(arguments: Arguments) -> Request:
    """Reads the flags."""
    faults: list[str] = []
    experiment = attempt(faults, lambda: read_experiment(arguments))
    chips = attempt(faults, lambda: topology.parse(arguments["topology"]))
    shape = attempt(faults, lambda: _read_shape(arguments["image_shape"]))
    file: Path | None = arguments["json"]
    if file is not None and not file.parent.is_dir():
        faults.append(f"--json: got {str(file)!r}, and there is no folder {str(file.parent)!r}")
    if faults or experiment is None or chips is None:
        raise ConfigError(faults)
    compilation = CompileRequest(
        chips, arguments["batch_per_chip"], arguments["largest_batch"], shape, arguments["classes"]
    )
    return Request(experiment, compilation, file)


def _read_shape(text: str | None) -> tuple[int, int, int] | None:
    """Reads --image_shape."""
    if text is None:
        return None
    if not re.fullmatch(r"[1-9]\d{0,3}x[1-9]\d{0,3}x[13]", text):
        raise ConfigError(
            [f"--image_shape: got {text!r}, expected HEIGHTxWIDTHxCHANNELS with 1 or 3 channels, such as 28x28x1"]
        )
    height, width, channels = map(int, text.split("x"))
    return height, width, channels


def run(request: Request) -> int:
    """Runs the command without JAX, which only the compiling processes import."""
    from rich.console import Console

    from cnn_jax import terminal, whole_file
    from cnn_jax.aot import report, run
    from cnn_jax.data import DataError

    stderr = Console(stderr=True)
    try:
        findings = run.run(request.experiment, request.compilation, lambda text: terminal.print_line(stderr, text))
    except (ConfigError, DataError) as error:
        return refuse(error)
    console = Console()
    Console(width=None if console.is_terminal else 160).print(report.as_table(findings, request.experiment))
    if request.json is not None:
        try:
            whole_file.write(request.json, report.as_json(findings, request.experiment).encode())
        except OSError as error:
            return fail(f"--json: cannot write {request.json}: {error.strerror}")
    return DONE if all(step.fits for step in findings.steps) else FAILED


COMMAND = Command(
    name="compile",
    help="compile the steps for chips that need not be attached, and report their costs",
    flags=(
        CONFIG,
        Flag("topology", "chips to compile for: v5e:4x4, v4:4x4x4, v5e:1x1, h100:8, cpu, gpu", required=True),
        Flag(
            "batch_per_chip", "images per chip in both steps; default: the config's batch, divided", None, int, least=1
        ),
        Flag("largest_batch", "also find the largest batch that fits on a chip", False, bool),
        Flag("image_shape", "HEIGHTxWIDTHxCHANNELS, if the config does not define it"),
        Flag("classes", "number of classes, if the config does not define it", None, int, least=2, most=10**6),
        Flag("json", "also write the figures to this file", path="read"),
    ),
    read=read,
    run=run,
    config="fields",
)
