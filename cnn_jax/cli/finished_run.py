"""Flags of the commands that use a finished run and its data: `eval` and `report`."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from cnn_jax.cli.command import Arguments
from cnn_jax.cli.shared_flags import DATA_DIR, FINISHED

FLAGS = (FINISHED, DATA_DIR)


@dataclasses.dataclass(frozen=True)
class FinishedRunRequest:
    """Parsed flags of the command.

    Attributes:
      workdir: Folder of a finished run.
      data_dir: Folder of prepared data; None is the default folder.
      moved: New paths of the run's data, by field of config.data.
    """

    workdir: Path
    data_dir: Path | None
    moved: dict[str, str]


def read(arguments: Arguments) -> FinishedRunRequest:
    """Reads the flags."""
    return FinishedRunRequest(arguments["workdir"], arguments["data_dir"], dict(arguments.overrides))
