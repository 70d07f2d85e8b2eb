"""`launch.py predict`: classifies picture files with a finished run's network, or an exported one."""

from __future__ import annotations

import dataclasses
import functools
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from cnn_jax.cli import with_jax
from cnn_jax.cli.command import Arguments, Command, Flag
from cnn_jax.cli.output import say
from cnn_jax.cli.shared_flags import FORMAT, OUTPUT, WORKDIR, read_output
from cnn_jax.config.parsing import ConfigError

if TYPE_CHECKING:
    from cnn_jax.report.prediction import Network


@dataclasses.dataclass(frozen=True)
class PredictRequest:
    """Request of the command line.

    Attributes:
      workdir: Folder of a finished run; None where an exported file is used.
      model: File that `export` wrote; None where a run is used.
      images: Picture files and folders of pictures.
      format: "table", "json" or "csv".
      output: File that is written too; None for none.
      moved: Where the run's data lie now, by the field of config.data.
    """

    workdir: Path | None
    model: Path | None
    images: tuple[Path, ...]
    format: str
    output: Path | None
    moved: dict[str, str]


def read(arguments: Arguments) -> PredictRequest:
    """Reads the flags."""
    if (arguments["workdir"] is None) == (arguments["model"] is None):
        raise ConfigError(["predict: needs --workdir=DIR of a finished run, or --model=FILE that export wrote"])
    if arguments["model"] is not None and arguments.overrides:
        raise ConfigError([f"--config.data.{name}: --model reads no data" for name in arguments.overrides])
    output = read_output(arguments)
    return PredictRequest(
        workdir=arguments["workdir"],
        model=arguments["model"],
        images=arguments["images"],
        format=arguments["format"],
        output=output,
        moved=dict(arguments.overrides),
    )


def predict(request: PredictRequest) -> None:
    """Classifies the pictures and prints their classes."""
    from cnn_jax.data import UnreadPicturesError
    from cnn_jax.report import prediction, prediction_output

    network = _network(request)
    files, passed_over = prediction.find_pictures(request.images, network.experiment.data)
    for warning in passed_over:
        say(f"warning: {warning}", sys.stderr)
    rows = prediction.predict(network, files)
    if unreadable := prediction_output.write(rows, network.class_names, request.format, request.output):
        raise UnreadPicturesError(prediction_output.listed(unreadable, len(files)))


def _network(request: PredictRequest) -> Network:
    """Opens the run or the exported file."""
    if request.model is not None:
        from cnn_jax.export import load

        return load.load(request.model)
    from cnn_jax.train import restore

    assert request.workdir is not None  # one of the two is given
    finished = restore.load(request.workdir, request.moved)
    if request.moved:
        finished.dataset()  # which is refused where it is not the run's
    return finished


def run(request: PredictRequest) -> int:
    """Runs the command."""
    return with_jax.run(functools.partial(predict, request), workdir=request.workdir)


COMMAND = Command(
    name="predict",
    help="classify picture files with a finished run's network",
    flags=(
        WORKDIR,
        Flag("model", "file that export wrote, in place of --workdir", path="read"),
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
