"""Elements of the page of `inspect`, and their rendering."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure

from cnn_jax.report import report_folder


@dataclasses.dataclass(frozen=True)
class Shown:
    """A picture of the page, which is also written as a file.

    Attributes:
      name: Name of the file, without ".png".
      png: Content of the file.
      alt: Alternative text.
      caption: Caption; may be empty.
      small: Whether it is shown at its original size, side by side with others.
    """

    name: str
    png: bytes
    alt: str
    caption: str = ""
    small: bool = False

    @property
    def width(self) -> int:
        """Width in pixels, from the header of the PNG."""
        return int.from_bytes(self.png[16:20], "big")

    @classmethod
    def drawn(cls, name: str, figure: Figure, alt: str, caption: str = "") -> Shown:
        """Renders a figure; slashes in the name become hyphens."""
        return cls(file_name(name), report_folder.png(figure), alt, caption)


@dataclasses.dataclass(frozen=True)
class Table:
    """A table of the page.

    Attributes:
      headings: Headings of the columns.
      rows: Cells as text, row by row.
      numeric: Indices of the right-aligned columns.
      caption: Caption below the table.
    """

    headings: Sequence[str]
    rows: Sequence[Sequence[str]]
    numeric: Sequence[int] = ()
    caption: str = ""


@dataclasses.dataclass(frozen=True)
class Group:
    """A foldable part of a section.

    Attributes:
      title: Heading.
      pictures: Pictures in order.
      texts: Paragraphs before the pictures.
      tables: Tables after the pictures.
      open: Whether it is initially unfolded.
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
      files: Additional files, contents by name.
    """

    name: str
    title: str
    texts: Sequence[str]
    groups: Sequence[Group]
    files: Mapping[str, bytes] = dataclasses.field(default_factory=dict)


def file_name(name: str) -> str:
    """Converts a name that contains layers to a file name."""
    return name.replace("/", "-").replace(" ", "-")


def files(sections: Sequence[Section], **values: Any) -> dict[str, bytes]:
    """Renders the page and all its files.

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
