"""Flags shared by several commands, and their parsing."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterable
from pathlib import Path

from cnn_jax.cli.command import Arguments, Flag
from cnn_jax.config import Experiment, experiment_file, parsing
from cnn_jax.config.parsing import ConfigError
from cnn_jax.plain_text import plain
from cnn_jax.run.errors import explain

CONFIG = Flag("config", "experiment file with get_config(); fields: --config.a.b=value", required=True, path="read")
WORKDIR = Flag(
    "workdir",
    "the run's or sweep's folder; default of train and sweep: runs/<file>-<hash of the config>",
    path="written",
)
FINISHED = dataclasses.replace(WORKDIR, required=True)
DATA_DIR = Flag(
    "data_dir",
    "folder of prepared data; default: $CNN_JAX_DATA_DIR, else the user's cache folder",
    path="written",
)
REPORT = Flag("report", "write the report after training", True, bool)
FORMAT = Flag("format", "format of the printed result", "table", choices=("table", "json", "csv"))
OUTPUT = Flag("output", "also write the result to this .json or .csv file", path="read")

ENGINE = Flag("engine", "engine that runs the trials", "local", choices=("local", "ray"))
RAY = (
    Flag("address", "address of a Ray cluster, auto for this machine's; default: $RAY_ADDRESS, else start one"),
    Flag("gpus", "GPUs that Ray reserves for each process of a trial", 0, int, least=0),
    Flag("tpus", "TPU chips that Ray reserves for each process of a trial", 0, int, least=0),
    Flag("accelerator", "Ray's name of the GPU or TPU that a trial needs, such as H100; default: any"),
)

_NAME_BYTES = 150  # length of an experiment's name in the name of its folder, which may have 255 bytes


def read_experiment(arguments: Arguments) -> Experiment:
    """Reads the file of --config and applies the overrides.

    Raises:
      ConfigError: If the file or the fields have faults; the message lists all of them.
    """
    return parsing.parse(parsing.override(experiment_file.load_config(arguments["config"]), dict(arguments.overrides)))


def read_output(arguments: Arguments) -> Path | None:
    """Reads --output.

    Raises:
      ConfigError: If a result cannot be written to the file.
    """
    output: Path | None = arguments["output"]
    if output is None:
        return None
    if output.suffix not in (".json", ".csv"):
        raise ConfigError([f"--output: got {str(output)!r}, expected a file that ends in .json or .csv"])
    check_output(output)
    return output


def check_output(output: Path) -> None:
    """Checks the file that --output names.

    Raises:
      ConfigError: If it is a folder or a device, its folder does not exist, or its name is not legal.
    """
    try:
        if output.is_dir():
            raise ConfigError([f"--output: {output} is a folder; name a file"])
        if output.exists() and not output.is_file():
            raise ConfigError([f"--output: {output} is not a regular file and would be replaced; name another"])
        if not output.parent.is_dir():
            raise ConfigError([f"--output: got {str(output)!r}, and there is no folder {str(output.parent)!r}"])
    except OSError as error:
        raise ConfigError([f"--output: {explain(error)}"]) from error


def check_ray(arguments: Arguments, names: Iterable[str]) -> None:
    """Checks the flags that are for Ray.

    Args:
      arguments: Arguments of a command with ENGINE and RAY.
      names: Names of its flags that are for Ray.

    Raises:
      ConfigError: Where one is given for another engine, or an accelerator is named and none is set aside.
    """
    if arguments["engine"] != "ray" and (given := [name for name in names if name in arguments.given]):
        raise ConfigError([f"--{name}: is for --engine=ray" for name in given])
    if (kind := arguments["accelerator"]) is not None and not (arguments["gpus"] or arguments["tpus"]):
        raise ConfigError([f"--accelerator={kind}: also give --gpus=N or --tpus=N, without which Ray sets none aside"])


def default_workdir(config_file: Path, experiment: Experiment) -> Path:
    """Returns the default folder of a run, runs/<file>-<hash of the config>."""
    digest = hashlib.sha256(experiment.model_dump_json().encode()).hexdigest()
    return Path("runs") / f"{folder_name(config_file.stem)}-{digest[:8]}"


def folder_name(experiment: str) -> str:
    """Converts an experiment's name to a folder's: without control characters, and short enough for any file system."""
    return plain(experiment).encode()[:_NAME_BYTES].decode(errors="ignore")
