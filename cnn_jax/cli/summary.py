"""`launch.py summary`: prints the layer table of a network."""

from __future__ import annotations

import dataclasses
import functools
from pathlib import Path

from cnn_jax.cli import with_jax
from cnn_jax.cli.command import Arguments, Command, attempt
from cnn_jax.cli.output import show
from cnn_jax.cli.shared_flags import CONFIG, DATA_DIR, FORMAT, OUTPUT, read_experiment, read_output
from cnn_jax.config import Experiment
from cnn_jax.config.parsing import ConfigError


@dataclasses.dataclass(frozen=True)
class SummaryRequest:
    """Parsed flags of the command.

    Attributes:
      experiment: Resolved config.
      data_dir: Folder of prepared data; None is the default folder.
      format: "table", "json" or "csv".
      output: File for the result; None writes none.
    """

    experiment: Experiment
    data_dir: Path | None
    format: str
    output: Path | None


def read(arguments: Arguments) -> SummaryRequest:
    """Reads the flags."""
    faults: list[str] = []
    output = attempt(faults, lambda: read_output(arguments))
    experiment = attempt(faults, lambda: read_experiment(arguments))
    if faults or experiment is None:
        raise ConfigError(faults)
    return SummaryRequest(experiment, arguments["data_dir"], arguments["format"], output)


def summarize(request: SummaryRequest) -> None:
    """Prints the layer table."""
    from cnn_jax import data
    from cnn_jax.data.sources.declared import declared
    from cnn_jax.geometry import formats, preflight

    shape, classes = declared(request.experiment.data)
    if shape is None or classes is None:
        dataset = data.load(request.experiment.data, request.experiment.seed, request.data_dir)
        shape, classes = dataset.image_shape, dataset.num_classes
    layers = preflight.check_network(request.experiment, shape, classes)
    preflight.check_norms(request.experiment, layers)
    texts = {"json": formats.as_json(layers), "csv": formats.as_csv(layers)}
    show(formats.as_table(layers), texts, request.format, request.output)


def run(request: SummaryRequest) -> int:
    """Runs the command."""
    return with_jax.run(functools.partial(summarize, request), request.experiment, computes=False)


COMMAND = Command(
    name="summary",
    help="print the layer table without training",
    flags=(CONFIG, DATA_DIR, FORMAT, OUTPUT),
    read=read,
    run=run,
    config="fields",
)
