"""The flags of the command `inspect`, understood without JAX."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, get_args

from absl import flags

from cnn_jax.config_parse import ConfigError

Scaling = Literal["own", "method", "all"]
SectionName = Literal["kernels", "maps", "patches", "maximization", "fields", "classes", "behaviour"]
SECTIONS: tuple[SectionName, ...] = get_args(SectionName)
SLOW: tuple[SectionName, ...] = ("maximization", "behaviour")  # minutes for a large network
FLAGS = ("workdir", "images", "layers", "channels", "classes", "sections", "scale", "test_images", "data_dir", "target")
LARGEST_CHANNEL = 2**20


@dataclasses.dataclass(frozen=True)
class InspectRequest:
    """What the command line asks for, as far as it is understood without the run.

    Attributes:
      layers: Names of layers; empty for the standard choice.
      channels: Numbers of channels, from 0; empty for the standard choice.
      classes: Names or numbers of classes; empty for the predicted class of each picture.
      sections: Sections of the page, in its order; empty for the standard choice.
      scale: Which maps of a class share one scale.
      test_images: How many test images are looked at, at most; None for the standard choice, 0 for all.
      target: Folder of the page; None is the folder "inspect" of the run.
    """

    layers: tuple[str, ...] = ()
    channels: tuple[int, ...] = ()
    classes: tuple[str, ...] = ()
    sections: tuple[SectionName, ...] = ()
    scale: Scaling = "own"
    test_images: int | None = None
    target: Path | None = None


def define(values: flags.FlagValues) -> None:
    """Adds the flags that no other command has."""
    flags.DEFINE_multi_string(
        "layers",
        None,
        "names of layers, separated by commas, as `summary` lists them; NAME/activation for what follows a layer",
        values,
    )
    flags.DEFINE_multi_string(
        "channels", None, "numbers of channels, from 0, separated by commas; default: those that respond most", values
    )
    flags.DEFINE_multi_string(
        "sections",
        None,
        f"what the page shows, separated by commas: {', '.join(SECTIONS)}; default: all, without "
        f"{' and '.join(SLOW)} for a network of more than a billion multiply-adds",
        values,
    )
    flags.DEFINE_enum(
        "scale",
        "own",
        get_args(Scaling),
        "of the maps for a class: own, each its own; method, one for each method; all, one for all",
        values,
    )
    flags.DEFINE_string(
        "test_images", None, "test images to look at, evenly spaced: a number, or all; default: by the network", values
    )


def read(values: Any, paths: Mapping[str, Path | None]) -> InspectRequest:
    """Reads the flags.

    Args:
      values: As absl has parsed them.
      paths: The flags that are paths.

    Returns:
      The request.

    Raises:
      ConfigError: With all that is wrong.
    """
    faults: list[str] = []
    channels = []
    for word in _words(values.channels):
        if word.isascii() and word.isdecimal() and int(word) < LARGEST_CHANNEL:
            channels.append(int(word))
        else:
            faults.append(f"--channels: got {word!r}, expected numbers of channels from 0, such as 0,3,17")
    sections = _words(values.sections)
    for word in sections:
        if word not in SECTIONS:
            faults.append(f"--sections: got {word!r}, expected some of: {', '.join(SECTIONS)}")
    test_images, text = None, values.test_images
    if text == "all":
        test_images = 0
    elif text is not None and text.isascii() and text.isdecimal() and 0 < int(text) < 2**40:
        test_images = int(text)
    elif text is not None:
        faults.append(f"--test_images: got {text!r}, expected a number from 1, or all")
    if faults:
        raise ConfigError(faults)
    return InspectRequest(
        layers=_words(values.layers),
        channels=tuple(dict.fromkeys(channels)),
        classes=tuple(values.classes or ()),
        sections=tuple(name for name in SECTIONS if name in sections),
        scale=values.scale,
        test_images=test_images,
        target=paths["target"],
    )


def _words(texts: Sequence[str] | None) -> tuple[str, ...]:
    """The words of flags that may be repeated and may list several, each once."""
    words = (word.strip() for text in texts or () for word in text.split(","))
    return tuple(dict.fromkeys(word for word in words if word))
