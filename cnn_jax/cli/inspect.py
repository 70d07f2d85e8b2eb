"""`launch.py inspect`: shows what the layers of a finished run's network respond to."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence
from pathlib import Path
from typing import get_args

from cnn_jax.cli import with_jax
from cnn_jax.cli.command import Arguments, Command, Flag
from cnn_jax.cli.output import say
from cnn_jax.cli.shared_flags import DATA_DIR, FINISHED
from cnn_jax.config.parsing import ConfigError
from cnn_jax.inspect.inspect_request import RULES, SECTIONS, SLOW, InspectRequest, Scaling
from cnn_jax.plain_text import plain_lines

_LARGEST_CHANNEL, _MOST_IMAGES = 2**20, 2**40


@dataclasses.dataclass(frozen=True)
class InspectCommandRequest:
    """Parsed flags of the command.

    Attributes:
      workdir: Folder of a finished run.
      moved: New paths of the run's data, by field of config.data.
      data_dir: Folder of prepared data; None is the default folder.
      images: Picture files and folders; empty for test images.
      inspection: Layers, units and methods to show.
    """

    workdir: Path
    moved: dict[str, str]
    data_dir: Path | None
    images: tuple[Path, ...]
    inspection: InspectRequest


def read(arguments: Arguments) -> InspectCommandRequest:
    """Reads the flags."""
    faults: list[str] = []
    channels = []
    for word in _words(arguments["channels"]):
        if word.isascii() and word.isdecimal() and int(word) < _LARGEST_CHANNEL:
            channels.append(int(word))
        else:
            faults.append(f"--channels: got {word!r}, expected numbers of channels from 0, such as 0,3,17")
    sections = _words(arguments["sections"])
    for word in sections:
        if word not in SECTIONS:
            faults.append(f"--sections: got {word!r}, expected some of: {', '.join(SECTIONS)}")
    rules = _words(arguments["rules"])
    for word in rules:
        if word not in RULES:
            faults.append(f"--rules: got {word!r}, expected some of: {', '.join(RULES)}")
    test_images, text = None, arguments["test_images"]
    if text == "all":
        test_images = 0
    elif text is not None and text.isascii() and text.isdecimal() and 0 < int(text) < _MOST_IMAGES:
        test_images = int(text)
    elif text is not None:
        faults.append(f"--test_images: got {text!r}, expected a number from 1, or all")
    if faults:
        raise ConfigError(faults)
    inspection = InspectRequest(
        layers=_words(arguments["layers"]),
        channels=tuple(dict.fromkeys(channels)),
        classes=tuple(arguments["classes"] or ()),
        sections=tuple(name for name in SECTIONS if name in sections),
        scale=arguments["scale"],
        rules=tuple(name for name in RULES if name in rules),
        test_images=test_images,
        target=arguments["target"],
    )
    return InspectCommandRequest(
        workdir=arguments["workdir"],
        moved=dict(arguments.overrides),
        data_dir=arguments["data_dir"],
        images=tuple(arguments["images"] or ()),
        inspection=inspection,
    )


def _words(texts: Sequence[str] | None) -> tuple[str, ...]:
    """Returns the distinct words of a repeatable flag of comma-separated lists."""
    words = (word.strip() for text in texts or () for word in text.split(","))
    return tuple(dict.fromkeys(word for word in words if word))


def inspect(request: InspectCommandRequest) -> None:
    """Writes the page and prints its path."""
    from cnn_jax.report.inspection import command

    source = command.Source(request.workdir, request.moved, request.data_dir, request.images)
    page = command.write(source, request.inspection, lambda line: print(plain_lines(line), flush=True))
    say(f"page: {page}")


def run(request: InspectCommandRequest) -> int:
    """Runs the command."""
    return with_jax.run(functools.partial(inspect, request), workdir=request.workdir)


COMMAND = Command(
    name="inspect",
    help="show what the layers of a finished run's network respond to",
    flags=(
        FINISHED,
        Flag(
            "images",
            "picture file or folder of pictures; may be repeated; default: some test images",
            repeated=True,
            path="read",
        ),
        Flag(
            "layers",
            "names of layers, separated by commas, as `summary` lists them; NAME/activation for the activation after a "
            "layer; default: some on the path to the logits",
            repeated=True,
        ),
        Flag(
            "channels",
            "numbers of channels, from 0, separated by commas; default: those that respond most",
            repeated=True,
        ),
        Flag(
            "classes",
            "name or number of a class; may be repeated; default: each picture's predicted class",
            repeated=True,
        ),
        Flag(
            "sections",
            f"sections of the page, separated by commas: {', '.join(SECTIONS)}; default: all, or for networks of more "
            f"than a billion multiply-adds all but {', '.join(SLOW)}",
            repeated=True,
        ),
        Flag(
            "scale",
            "color scale of the maps for a class: own, one per map; method, one per method; all, one for all maps",
            "own",
            choices=get_args(Scaling),
        ),
        Flag(
            "rules",
            "backward passes of ReLU to reconstruct patches, separated by commas: deconvnet, guided, gradient; "
            "default: deconvnet,guided, or gradient for a network without ReLU",
            repeated=True,
        ),
        Flag("test_images", "number of test images, evenly spaced, or all; default: depends on the network"),
        DATA_DIR,
        Flag("target", "folder of the page; default: WORKDIR/inspect", path="written"),
    ),
    read=read,
    run=run,
    config="moved",
)
