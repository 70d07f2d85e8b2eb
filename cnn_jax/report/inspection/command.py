"""Computes the sections of the page of `inspect` and writes it."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from cnn_jax.inspect.inspect_request import SLOW, InspectRequest, SectionName
from cnn_jax.report.inspection import page, patches, responses, sections
from cnn_jax.report.inspection.page import Section
from cnn_jax.report.inspection.subject import Source, Subject, open_subject
from cnn_jax.report.own_files import OwnFiles
from cnn_jax.run.errors import RunFailed, explain
from cnn_jax.words import by

_MAKERS: dict[SectionName, Callable[[Subject], Section]] = {
    "kernels": sections.kernels,
    "maps": sections.feature_maps,
    "patches": patches.patches,
    "maximization": responses.maximization,
    "fields": responses.fields,
    "classes": sections.classes,
    "behaviour": responses.behaviour,
}


def write(source: Source, request: InspectRequest, say: Callable[[str], None]) -> Path:
    """Inspects a network and writes the page.

    Args:
      source: The run and the pictures.
      request: Layers, units and methods, and the folder of the page.
      say: Function that prints a line of progress.

    Returns:
      Path of index.html.

    Raises:
      ConfigError, DataError, RunFolderError: If an input cannot be used; then nothing was computed.
      RunFailed: If the network returns values that are not finite, or the files cannot be written.
    """
    subject = open_subject(source, request)
    folder = request.target or source.workdir / "inspect"
    own = OwnFiles(folder, "--target" if request.target else "--workdir")
    count = len(subject.pictures)
    say(f"{count} picture{'s' * (count != 1)}, layers {', '.join(subject.layers)}")
    written = []
    makers = [
        ("pictures", sections.pictures),
        *((name, _MAKERS[name]) for name in subject.sections),
    ]
    with subject.run.config.tracing():
        for name, make in makers:
            start = time.monotonic()
            written.append(make(subject))
            say(f"{name}: {time.monotonic() - start:.1f} s")
    try:
        own.write(page.files(written, name=_name(source), about=_about(subject)))
    except OSError as error:
        raise RunFailed(str(explain(error))) from error
    return folder / "index.html"


def _name(source: Source) -> str:
    return source.workdir.resolve().name


def _about(subject: Subject) -> str:
    """Describes the network in one line."""
    result, config = subject.run.result, subject.run.experiment
    parts = [
        f"{config.model.name} of {result.parameters:,} parameters, trained on {config.data.name}",
        f"images of {by(subject.run.image_shape)}",
        f"test accuracy {result.test_accuracy:.4f}",
    ]
    if subject.test is not None and len(subject.test_numbers) < len(subject.test):
        images_used = f"{len(subject.test_numbers):,} of {len(subject.test):,} test images used"
        parts.append(f"{images_used}, evenly spaced (--test_images=all: all)")
    left_out = [name for name in SLOW if subject.large and name not in subject.sections]
    if left_out and not subject.request.sections:
        parts.append(f"left out for a network of this size: {', '.join(left_out)} (--sections={','.join(left_out)})")
    return "; ".join(parts) + "."
