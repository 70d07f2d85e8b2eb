"""`launch.py compare`: compares runs and sweeps."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from cnn_jax.cli.command import Arguments, Command, Flag
from cnn_jax.cli.output import refuse, say, show
from cnn_jax.cli.shared_flags import FORMAT
from cnn_jax.config.parsing import ConfigError
from cnn_jax.run.errors import RunFolderError
from cnn_jax.run.exit_codes import DONE

_ENDINGS = (".html", ".json", ".csv")


@dataclasses.dataclass(frozen=True)
class CompareRequest:
    """Parsed flags of the command.

    Attributes:
      folders: Folders to compare, in order.
      format: "table", "json" or "csv".
      output: File for the page (.html), or for the figures (.json or .csv).
      flag: Flag that names the file, for messages.
    """

    folders: tuple[Path, ...]
    format: str
    output: Path
    flag: str = "--output"


def read(arguments: Arguments) -> CompareRequest:
    """Reads the flags."""
    output: Path = arguments["output"]
    if output.suffix not in _ENDINGS:
        raise ConfigError([f"--output: got {str(output)!r}, expected a file that ends in {', '.join(_ENDINGS)}"])
    return CompareRequest(tuple(arguments["run"]), arguments["format"], output)


def run(request: CompareRequest) -> int:
    """Runs the command, without JAX."""
    try:
        write(request)
    except (ConfigError, RunFolderError) as error:
        return refuse(error)
    return DONE


def write(request: CompareRequest) -> None:
    """Prints a comparison and writes it to a file.

    Raises:
      ConfigError: If there is nothing to compare, or the file cannot be written.
      RunFolderError: If a sweep cannot be read.
    """
    from cnn_jax import whole_file
    from cnn_jax.report import comparison_page, comparison_texts
    from cnn_jax.report.comparison import compare

    output = request.output
    comparison_page.check_output(output, request.flag)
    found = compare(request.folders)
    texts = {"json": comparison_texts.as_json(found), "csv": comparison_texts.as_csv(found)}
    table = comparison_texts.as_tables(found)
    if output.suffix != ".html":
        show(table, texts, request.format, output)
        return
    try:
        whole_file.write(output, comparison_page.page(found).encode())
    except OSError as error:
        raise ConfigError([f"{request.flag}: cannot write {output}: {error.strerror}"]) from error
    show(table, texts, request.format, None)
    if request.format == "table":
        say(f"comparison: {output}")


COMMAND = Command(
    name="compare",
    help="put runs and sweeps side by side: configs, figures, paired tests, curves",
    flags=(
        Flag(
            "run",
            "folder of a run, a sweep, or of several of them; also without the flag: compare RUN RUN ...",
            repeated=True,
            required=True,
            path="read",
        ),
        Flag("output", "file to write: the page, or the figures as .json or .csv", "comparison.html", path="read"),
        FORMAT,
    ),
    read=read,
    run=run,
    words="run",
    uses_jax=False,
)
