"""`launch.py prepare`: makes a folder of records from pictures."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from cnn_jax.cli.command import Arguments, Command, Flag
from cnn_jax.cli.output import refuse, say
from cnn_jax.run.exit_codes import DONE


@dataclasses.dataclass(frozen=True)
class PrepareRequest:
    """Request of the command line.

    Attributes:
      source: Folder or archives of pictures.
      target: Folder to make; None where TFDS has made the source.
      test_fraction: Fraction of each class for testing, 0 to 1.
      restart_markers: Whether JPEGs are written anew with restart markers.
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
    from cnn_jax.data.sources import convert, records

    try:
        folder = convert.prepare(
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
    help="make a folder of records from pictures, for config.data.name=records",
    flags=(
        Flag(
            "source",
            "folder of class folders, or of train/ and val/ with such; or of ImageNet's two tar files; or what "
            "TFDS made",
            required=True,
            path="read",
        ),
        Flag("target", "folder to make; none where TFDS has made the source", path="written"),
        Flag(
            "test_fraction",
            "share of each class for testing, where there are class folders alone",
            0.2,
            float,
            least=0,
            most=1,
        ),
        Flag("restart_markers", "write JPEGs anew, the same pixels, so that crops are decoded faster", False, bool),
    ),
    read=read,
    run=run,
    uses_jax=False,
)
