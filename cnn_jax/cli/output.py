"""Messages and results that commands print."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TextIO

from cnn_jax.config.parsing import ConfigError
from cnn_jax.plain_text import plain_lines
from cnn_jax.run.exit_codes import FAILED, REFUSED


def say(text: str, stream: TextIO | None = None) -> None:
    """Prints a message that may contain text from users, to standard output or another stream."""
    print(plain_lines(text), file=stream)


def refuse(error: Exception | str) -> int:
    """Prints why nothing was started, and returns the exit code."""
    say(f"refused: {error}", sys.stderr)
    return REFUSED


def fail(error: Exception | str) -> int:
    """Prints why the work failed, and returns the exit code."""
    say(f"failed: {error}", sys.stderr)
    return FAILED


def show(table: object, texts: dict[str, str], chosen: str, output: Path | None) -> None:
    """Prints a result as a table or as text, and writes it to a file.

    Args:
      table: Result as a table for a terminal.
      texts: Result as text, by "json" and "csv".
      chosen: Format to print: "table", "json" or "csv".
      output: File with the suffix .json or .csv; None writes none.

    Raises:
      ConfigError: If the file cannot be written.
    """
    from rich.console import Console

    if chosen == "table":
        console = Console()
        Console(width=None if console.is_terminal else 160).print(table)
    else:
        text = texts[chosen].rstrip()
        print(plain_lines(text) if sys.stdout.isatty() else text)
    if output is not None:
        try:
            output.write_text(texts[output.suffix[1:]], encoding="utf-8", newline="")
        except OSError as error:
            raise ConfigError([f"--output: cannot write {output}: {error.strerror}"]) from error
