"""All commands, and the entry point of the command line."""

from __future__ import annotations

import importlib
import os
from collections.abc import Sequence
from typing import Any

from cnn_jax import jax_settings, xla_flags
from cnn_jax.cli import parser
from cnn_jax.cli.command import Command
from cnn_jax.cli.output import fail, refuse
from cnn_jax.config.parsing import ConfigError
from cnn_jax.run import compile_cache
from cnn_jax.run.errors import RunFailed, explain
from cnn_jax.run.exit_codes import DONE

# Commands in the order of --help; each is declared by the file of its name in this package.
_NAMES = (
    "train",
    "eval",
    "predict",
    "inspect",
    "export",
    "summary",
    "report",
    "compare",
    "compile",
    "prepare",
    "filter",
    "sweep",
    "search",
)
COMMANDS: dict[str, Command] = {name: importlib.import_module(f"cnn_jax.cli.{name}").COMMAND for name in _NAMES}


def parse(argv: Sequence[str]) -> tuple[Command, Any]:
    """Parses a command line; see `parser.parse`."""
    return parser.parse(argv, COMMANDS)


def main(argv: Sequence[str]) -> int:
    """Runs a command line.

    Args:
      argv: Words after the program's name.

    Returns:
      Exit code: 0 done; 1 the work failed; 2 refused, nothing started; 75 stopped by a signal, state saved.
    """
    os.environ["MPLBACKEND"] = "agg"  # figures are only written to files
    try:
        command, request = parse(argv)
        if command.uses_jax:
            jax_settings.check_environment()
            xla_flags.check_known()
            compile_cache.limit()
    except parser.HelpRequested as text:
        print(text)
        return DONE
    except ConfigError as error:
        return refuse(error)
    try:
        return command.run(request)
    except RunFailed as error:
        return fail(error)
    except Exception as error:  # errors during training are RunFailed
        if (fault := explain(error)) is None:
            raise
        return refuse(fault)
