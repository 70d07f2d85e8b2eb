"""`launch.py predict`: classifies picture files with a trained, an exported or a published network."""

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
    from cnn_jax.data.host.crops import CentreCrop
    from cnn_jax.report.prediction import Network


@dataclasses.dataclass(frozen=True)
class PredictRequest:
    """Parsed flags of the command.

    Attributes:
      workdir: Folder of a finished run; None with `model`.
      model: File that `export` wrote, or with `pretrained` a published network's name; None with `workdir`.
      pretrained: File of published weights, if any.
      images: Picture files and folders.
      format: "table", "json" or "csv".
      output: File for the result; None writes none.
      moved: New paths of the run's data, by field of config.data.
    """

    workdir: Path | None
    model: Path | None
    pretrained: Path | None
    images: tuple[Path, ...]
    format: str
    output: Path | None
    moved: dict[str, str]


def read(arguments: Arguments) -> PredictRequest:
    """Reads the flags."""
    if arguments["pretrained"] is not None and arguments["model"] is None:
        raise ConfigError(["--pretrained: needs --model=NAME, the published network's name, such as resnet50"])
    if (arguments["workdir"] is None) == (arguments["model"] is None):
        raise ConfigError(
            [
                "predict: needs --workdir=DIR of a finished run, --model=FILE that export wrote, or "
                "--pretrained=FILE of published weights with --model=NAME"
            ]
        )
    if arguments["model"] is not None and arguments.overrides:
        raise ConfigError([f"--config.data.{name}: --model reads no data" for name in arguments.overrides])
    output = read_output(arguments)
    return PredictRequest(
        workdir=arguments["workdir"],
        model=arguments["model"],
        pretrained=arguments["pretrained"],
        images=arguments["images"],
        format=arguments["format"],
        output=output,
        moved=dict(arguments.overrides),
    )


def predict(request: PredictRequest) -> None:
    """Classifies the pictures and prints their classes."""
    from cnn_jax.data import UnreadPicturesError
    from cnn_jax.report import prediction, prediction_output

    network, view = _network(request)
    files, warnings = prediction.find_pictures(request.images, network.experiment.data)
    for warning in warnings:
        say(f"warning: {warning}", sys.stderr)
    rows = prediction.predict(network, files, view)
    if unreadable := prediction_output.write(rows, network.class_names, request.format, request.output):
        raise UnreadPicturesError(prediction_output.listed(unreadable, len(files)))


def _network(request: PredictRequest) -> tuple[Network, CentreCrop | None]:
    """Loads the network; published weights come with the crop of their preprocessing."""
    if request.pretrained is not None:
        return _published(str(request.model), request.pretrained)
    if request.model is not None:
        from cnn_jax.export import load

        return load.load(request.model), None
    from cnn_jax.train import restore

    assert request.workdir is not None  # one of the two is given
    finished = restore.load(request.workdir, request.moved)
    if request.moved:
        finished.dataset()  # raises an error if it is not the run's
    return finished, None


def _published(name: str, file: Path) -> tuple[Network, CentreCrop]:
    """Loads published weights and the crop of their preprocessing."""
    from cnn_jax.pretrained import published_weights
    from cnn_jax.pretrained.published import imagenet_classes
    from cnn_jax.train import restore

    weights = published_weights.read(name, file)
    say(weights.described(), sys.stderr)
    classes = len(weights.class_names)
    if classes != len(imagenet_classes()):
        say(f"warning: the weights have {classes} classes, not ImageNet's 1000; they are named by number", sys.stderr)
    return restore.with_published(weights), weights.view


def run(request: PredictRequest) -> int:
    """Runs the command."""
    return with_jax.run(functools.partial(predict, request), workdir=request.workdir)


COMMAND = Command(
    name="predict",
    help="classify picture files with a trained, an exported or a published network",
    flags=(
        WORKDIR,
        Flag("model", "file that export wrote, instead of --workdir; with --pretrained a network's name", path="read"),
        Flag("pretrained", "file of published weights; --model names their network, such as resnet50", path="read"),
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
