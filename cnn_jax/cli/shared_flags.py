"""Flags that several commands have, and how they are read."""

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
REPORT = Flag("report", "write the report when the training is done", True, bool)
FORMAT = Flag("format", "how the result is printed", "table", choices=("table", "json", "csv"))
OUTPUT = Flag("output", "also write the result to this file; .json or .csv by its ending", path="read")

ENGINE = Flag("engine", "what runs the trials", "local", choices=("local", "ray"))
RAY = (
    Flag("address", "address of a Ray cluster, auto for this machine's; default: $RAY_ADDRESS, else local, its own"),
    Flag("gpus", "GPUs that Ray sets aside for one process of a trial", 0, int, least=0),
    Flag("tpus", "TPU chips that Ray sets aside for one process of a trial", 0, int, least=0),
    Flag("accelerator", "Ray's name of the GPU or TPU that a trial needs, such as H100; default: any"),
)

_NAME_BYTES = 150  # of an experiment, in the name of its folder, which may have 255


def read_experiment(arguments: Arguments) -> Experiment:
    """Reads the file of --config under the overrides.

    Raises:
      ConfigError: With all that is wrong with file and fields.
    """
    return parsing.parse(parsing.override(experiment_file.load_config(arguments["config"]), dict(arguments.overrides)))


def read_output(arguments: Arguments) -> Path | None:
    """Reads --output.

    Raises:
      ConfigError: Where no result can be written there.
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

    Args:
      output: The file.

    Raises:
      ConfigError: Where it is a folder or a device, its folder is not there, or no file can have its name.
    """
    try:
        if output.is_dir():
            raise ConfigError([f"--output: {output} is a folder; name a file"])
        if output.exists() and not output.is_file():
            raise ConfigError([f"--output: {output} is no ordinary file, which a new one would replace; name another"])
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
    """Names the folder of a run that names none: runs/<file>-<hash>, another one for every config."""
    digest = hashlib.sha256(experiment.model_dump_json().encode()).hexdigest()
    return Path("runs") / f"{folder_name(config_file.stem)}-{digest[:8]}"


def folder_name(experiment: str) -> str:
    """Makes a folder's name of an experiment's: no control characters, and short enough for every file system."""
    return plain(experiment).encode()[:_NAME_BYTES].decode(errors="ignore")
