"""`launch.py predict`: classifies picture files with a finished run's network."""

from __future__ import annotations

import dataclasses
import functools
import sys
from pathlib import Path

from cnn_jax.cli import with_jax
from cnn_jax.cli.command import Arguments, Command, Flag
from cnn_jax.cli.common import FINISHED, FORMAT, OUTPUT, read_output
from cnn_jax.cli.output import say


@dataclasses.dataclass(frozen=True)
class PredictRequest:
    """Request of the command line.

    Attributes:
      workdir: Folder of a finished run.
      images: Picture files and folders of pictures.
      format: "table", "json" or "csv".
      output: File that is written too; None for none.
      moved: Where the run's data lie now, by the field of config.data.
    """

    workdir: Path
    images: tuple[Path, ...]
    format: str
    output: Path | None
    moved: dict[str, str]


def read(arguments: Arguments) -> PredictRequest:
    """Reads the flags."""
    output = read_output(arguments)
    return PredictRequest(
        arguments["workdir"], arguments["images"], arguments["format"], output, dict(arguments.overrides)
    )


def predict(request: PredictRequest) -> None:
    """Classifies the pictures and prints their classes."""
    from cnn_jax.analysis import prediction, prediction_output
    from cnn_jax.data import UnreadPicturesError
    from cnn_jax.train import restore

    finished = restore.load(request.workdir, request.moved)
    if request.moved:
        finished.dataset()  # which is refused where it is not the run's
    files, passed_over = prediction.find_pictures(request.images)
    for warning in passed_over:
        say(f"warning: {warning}", sys.stderr)
    rows = prediction.predict(finished, files)
    if unreadable := prediction_output.write(rows, finished.class_names, request.format, request.output):
        raise UnreadPicturesError(prediction_output.listed(unreadable, len(files)))


def run(request: PredictRequest) -> int:
    """Runs the command."""
    return with_jax.run(functools.partial(predict, request), workdir=request.workdir)


COMMAND = Command(
    name="predict",
    help="classify picture files with a finished run's network",
    flags=(
        FINISHED,
        Flag(
            "images",
            "picture file or folder of pictures; may be repeated",
            repeated=True,
            required=True,
            path="read",
        ),
        FORMAT,
        OUTPUT,
    ),
    read=read,
    run=run,
    config="moved",
)
