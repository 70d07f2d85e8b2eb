"""Writes a report's folder: a self-contained page, and its figures as PNG."""

from __future__ import annotations

import base64
import functools
import io
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jinja2
import markupsafe
import matplotlib
from matplotlib.figure import Figure

from cnn_jax import plot_text, whole_file
from cnn_jax.plain_text import plain_lines


class Picture(NamedTuple):
    """A figure of a page.

    Attributes:
      name: Name of its PNG file, without the suffix.
      alt: Alternative text.
      figure: The figure.
    """

    name: str
    alt: str
    figure: Figure


def png(figure: Figure) -> bytes:
    """Renders a figure as PNG."""
    content = io.BytesIO()
    plot_text.set_fonts(figure)
    with matplotlib.rc_context({"text.usetex": False}):  # also for tick labels, which are created while drawing
        figure.savefig(content, format="png")
    return content.getvalue()


def page(template: str, pictures: Mapping[str, bytes], **values: Any) -> str:
    """Renders a template of this package.

    Args:
      template: Name of the template's file.
      pictures: PNG files by name; the template receives them as `pictures`, in base64.
      values: All other values of the template.

    Returns:
      The page.
    """
    embedded = {name: base64.b64encode(content).decode() for name, content in pictures.items()}
    return _environment().get_template(template).render(pictures=embedded, **values)


@functools.cache  # keeps the compiled templates
def _environment() -> jinja2.Environment:
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        finalize=_finalize,
        undefined=jinja2.StrictUndefined,
    )


def _finalize(value: Any) -> Any:
    """Escapes invalid and invisible characters; output of macros is left unchanged."""
    return plain_lines(value) if isinstance(value, str) and not isinstance(value, markupsafe.Markup) else value


def replace(folder: Path, files: Mapping[str, bytes]) -> Path:
    """Writes a report's folder; an older one is replaced by a rename.

    Args:
      folder: Folder of the report.
      files: Contents by name, index.html among them.

    Returns:
      The path of index.html.

    Raises:
      OSError: If it cannot be written; the error names the folder, and an older report is kept.
    """
    temporary = folder.with_name(f".{folder.name}.{os.getpid()}")
    shutil.rmtree(temporary, ignore_errors=True)
    try:
        with whole_file.naming(folder):
            temporary.mkdir()
            for name, content in files.items():
                (temporary / name).write_bytes(content)
            shutil.rmtree(folder, ignore_errors=True)
            temporary.rename(folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return folder / "index.html"
