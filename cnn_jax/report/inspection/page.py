"""Parts of the page of `inspect`, and how they are written."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure

from cnn_jax.report import report_folder


@dataclasses.dataclass(frozen=True)
class Shown:
    """A picture of the page, and a file beside it.

    Attributes:
      name: Name of the file, without ".png".
      png: Content of the file.
      alt: Description for readers who cannot see it.
      caption: Text under it; empty for none.
      small: Whether it is shown in its own size, several side by side.
    """

    name: str
    png: bytes
    alt: str
    caption: str = ""
    small: bool = False

    @property
    def width(self) -> int:
        """Pixels in a row, which a PNG has at its beginning."""
        return int.from_bytes(self.png[16:20], "big")

    @classmethod
    def drawn(cls, name: str, figure: Figure, alt: str, caption: str = "") -> Shown:
        """Draws a figure; slashes in the name become hyphens."""
        return cls(file_name(name), report_folder.png(figure), alt, caption)


@dataclasses.dataclass(frozen=True)
class Table:
    """A table of the page.

    Attributes:
      headings: Headings of the columns.
      rows: Cells as text, row by row.
      numeric: Numbers of the columns whose text stands right.
      caption: Sentence below it.
    """

    headings: Sequence[str]
    rows: Sequence[Sequence[str]]
    numeric: Sequence[int] = ()
    caption: str = ""


@dataclasses.dataclass(frozen=True)
class Group:
    """A part of a section.

    Attributes:
      title: Heading.
      pictures: Pictures in order.
      texts: Paragraphs before them.
      tables: Tables after them.
      open: Whether it is unfolded at first.
    """

    title: str
    pictures: Sequence[Shown] = ()
    texts: Sequence[str] = ()
    tables: Sequence[Table] = ()
    open: bool = True


@dataclasses.dataclass(frozen=True)
class Section:
    """A section of the page.

    Attributes:
      name: Identifier in the page.
      title: Heading.
      texts: Paragraphs under the heading.
      groups: Parts in order.
      files: Files beside the page, contents by name.
    """

    name: str
    title: str
    texts: Sequence[str]
    groups: Sequence[Group]
    files: Mapping[str, bytes] = dataclasses.field(default_factory=dict)


def file_name(name: str) -> str:
    """A name with layers in it as a file may have it."""
    return name.replace("/", "-").replace(" ", "-")


def files(sections: Sequence[Section], **values: Any) -> dict[str, bytes]:
    """Makes the page and all files beside it.

    Args:
      sections: Sections in order.
      values: Names and values for the head of the page.

    Returns:
      Contents by name, index.html among them.
    """
    pictures = [shown for section in sections for group in section.groups for shown in group.pictures]
    made = {f"{shown.name}.png": shown.png for shown in pictures}
    for section in sections:
        made |= section.files
    count = len(pictures) + sum(len(section.files) for section in sections)
    if len(made) != count:
        raise AssertionError("two files of the page have one name")
    embedded = {shown.name: shown.png for shown in pictures}
    made["index.html"] = report_folder.page("inspection.html.j2", embedded, sections=sections, **values).encode()
    return made
