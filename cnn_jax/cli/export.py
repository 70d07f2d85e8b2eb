"""`launch.py export`: writes a finished run's network as a file that runs elsewhere."""

from __future__ import annotations

import dataclasses
import functools
from pathlib import Path

from cnn_jax.cli import with_jax
from cnn_jax.cli.command import Arguments, Command, Flag
from cnn_jax.cli.output import say
from cnn_jax.cli.shared_flags import FINISHED, check_output
from cnn_jax.config.parsing import ConfigError
from cnn_jax.run.errors import explain

FORMATS = ("stablehlo", "onnx", "safetensors", "tflite", "page")


@dataclasses.dataclass(frozen=True)
class ExportRequest:
    """Parsed flags of the command.

    Attributes:
      workdir: Folder of a finished run.
      format: One of FORMATS.
      output: File to write.
    """

    workdir: Path
    format: str
    output: Path


def read(arguments: Arguments) -> ExportRequest:
    """Reads the flags."""
    suffix = "html" if arguments["format"] == "page" else arguments["format"]
    default = arguments["workdir"] / "export" / f"network.{suffix}"
    output: Path = arguments["output"] or default
    if arguments["output"] is not None:
        check_output(output)
    return ExportRequest(arguments["workdir"], arguments["format"], output)


def export(request: ExportRequest) -> None:
    """Writes the file."""
    from cnn_jax import whole_file
    from cnn_jax.export import archive, onnx_file, stablehlo, tflite_file
    from cnn_jax.export.page import write as page
    from cnn_jax.train import restore

    writers = {
        "stablehlo": stablehlo.write,
        "onnx": onnx_file.write,
        "safetensors": archive.write,
        "tflite": tflite_file.write,
        "page": page.write,
    }
    write = writers[request.format]
    content = write(restore.load(request.workdir))
    try:
        request.output.parent.mkdir(exist_ok=True)
        whole_file.write(request.output, content)
    except OSError as error:
        raise ConfigError([f"--output: {explain(error)}"]) from error
    say(f"{request.output}: {len(content):,} bytes")


def run(request: ExportRequest) -> int:
    """Runs the command."""
    return with_jax.run(functools.partial(export, request), workdir=request.workdir)


COMMAND = Command(
    name="export",
    help="write a finished run's network as a file that runs elsewhere",
    flags=(
        FINISHED,
        Flag("format", "kind of file", required=True, choices=FORMATS),
        Flag("output", "file to write; default: DIR/export/network.<format>, network.html of a page", path="read"),
    ),
    read=read,
    run=run,
)
