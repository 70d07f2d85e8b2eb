"""`launch.py prepare`: writes a folder of records from pictures."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from cnn_jax.cli.command import Arguments, Command, Flag
from cnn_jax.cli.output import refuse, say
from cnn_jax.run.exit_codes import DONE


@dataclasses.dataclass(frozen=True)
class PrepareRequest:
    """Parsed flags of the command.

    Attributes:
      source: Folder or archives of pictures.
      target: Folder to write; None if the source is a TFDS data set.
      test_fraction: Fraction of each class for testing, 0 to 1.
      restart_markers: Whether to rewrite JPEGs with restart markers.
    """

    source: Path
    target: Path | None
    test_fraction: float
    restart_markers: bool


def read(arguments: Arguments) -> PrepareRequest:
    """Reads the flags."""
    return PrepareRequest(**arguments.values)


def run(request: PrepareRequest) -> int:
    """Runs the command, without JAX."""
    from cnn_jax.data import DataError
    from cnn_jax.data.sources import prepare_records, records

    try:
        folder = prepare_records.prepare(
            request.source, request.target, request.test_fraction, restart_markers=request.restart_markers
        )
        manifest = records.read_manifest(folder, "--target")
    except DataError as error:
        return refuse(error)
    counts = " and ".join(f"{count:,} {split}" for split, count in manifest.examples.items())
    say(f"{folder}: {counts} pictures of {len(manifest.class_names)} classes")
    return DONE


COMMAND = Command(
    name="prepare",
    help="write a folder of records from pictures, for config.data.name=records",
    flags=(
        Flag(
            "source",
            "folder with one folder per class, or with train/ and val/ of this form, or with ImageNet's two tar files; "
            "or a TFDS data set",
            required=True,
            path="read",
        ),
        Flag("target", "folder to write; none if the source is a TFDS data set", path="written"),
        Flag(
            "test_fraction",
            "share of each class for testing, if the source has only class folders",
            0.2,
            float,
            least=0,
            most=1,
        ),
        Flag("restart_markers", "rewrite JPEGs losslessly, so that crops are decoded faster", False, bool),
    ),
    read=read,
    run=run,
    uses_jax=False,
)
