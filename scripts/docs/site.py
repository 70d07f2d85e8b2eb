"""Sphinx extension of the documentation: reference pages from declarations, the explorer, the list of versions."""

from __future__ import annotations

import html
import json
import os
import re
import shutil
from pathlib import Path
from typing import Any

from cnn_jax.cli.command import Command, Flag
from cnn_jax.cli.main import COMMANDS
from cnn_jax.config import fields
from cnn_jax.config.fields import FieldRow

_EXPLORER = re.compile(r"\[([^\[\]\n]+)\]\(((?:\.\./)*explorer/index\.html(?:#[\w-]+)?)\)")
_OUTSIDE = {"../CONTRIBUTING.md": "/project/contributing.md", "../CHANGELOG.md": "/project/changelog.md"}
_SECTIONS = {"seed": "The seed"}


def setup(app: Any) -> dict[str, bool]:
    """Registers the extension with Sphinx."""
    app.connect("builder-inited", lambda app: write_reference(Path(app.srcdir) / "reference"))
    app.connect("source-read", _read)
    app.connect("autodoc-process-signature", _signature)
    app.connect("build-finished", _finished)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def write_reference(folder: Path) -> None:
    """Writes the pages of commands and config fields; a page that is the same is left alone.

    Args:
      folder: Folder of the pages.
    """
    for name, text in (("commands.md", commands_page(COMMANDS)), ("config.md", config_page())):
        path = folder / name
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")


def commands_page(commands: dict[str, Command]) -> str:
    """Gives the reference of the command line, in Markdown.

    Args:
      commands: All commands, by name.

    Returns:
      One section for each command, with its flags.
    """
    lines = [
        "# Commands",
        "",
        "`python launch.py VERB --flag=value ...`, or `cnn-jax VERB ...` after `pip install .`. Exit codes: 0 done,",
        "1 the work failed, 2 refused before anything started, 75 stopped by a signal with the state saved.",
        "",
    ]
    for command in commands.values():
        lines += [f"## {command.name}", "", _sentence(command.help[0].upper() + command.help[1:]), ""]
        if command.config == "fields":
            lines += ["Takes `--config.FIELD=VALUE` for every [field of the config](config.md).", ""]
        if command.config == "moved":
            lines += ["`--config.data.FIELD=VALUE` says where the run's data lie now.", ""]
        for flag in command.flags:
            lines += [f"`--{flag.name}`", f": {_plain(_sentence(flag.help))}{_values(flag)}", ""]
    return "\n".join(lines)


def config_page() -> str:
    """Gives the reference of the config's fields, in Markdown: a section for each of the config's."""
    lines = [
        "# Config fields",
        "",
        "Every field of an experiment, with its values, its default and its meaning. In a file it stands in",
        "a section of `get_config()`'s dictionary, on the command line it is `--config.SECTION.FIELD=VALUE`.",
        "",
    ]
    sections: dict[str, list[FieldRow]] = {}
    for row in fields.field_rows():
        sections.setdefault(row.path.split(".", 1)[0], []).append(row)
    for name, rows in sections.items():
        lines += [f"## {_SECTIONS.get(name, name)}", ""]
        for row in rows:
            only = f" Only with the name {row.variant}." if row.variant else ""
            values = f"{row.type}. Default: {row.default}.{only}"
            lines += [f"`{row.path}`", f": {_plain(_sentence(row.meaning))}", "", f"  *{_plain(values)}*", ""]
    return "\n".join(lines)


def with_explorer_links(text: str) -> str:
    """Makes links to the explorer links of HTML, since its page is none of Sphinx's.

    Args:
      text: A page in Markdown.

    Returns:
      The page with `<a href>` in place of each link to `explorer/index.html`.
    """
    return _EXPLORER.sub(lambda found: f"<a href='{found[2]}'>{found[1]}</a>", text)


def _values(flag: Flag) -> str:
    if flag.required:
        return " *Required.*"
    facts = [f"One of {', '.join(flag.choices)}."] if flag.choices else []
    facts += ["May be repeated."] if flag.repeated else []
    facts += [f"Default: {flag.default}."] if flag.default not in (None, "", (), []) else []
    return f" *{_plain(' '.join(facts))}*" if facts else ""


def _sentence(text: str) -> str:
    text = text.strip()
    return text if text.endswith(".") else f"{text}."


def _plain(text: str) -> str:
    """Text that Markdown shows as it is, in a table too; flags as code."""
    plain = re.sub(r"([\\|*_\[\]$])", r"\\\1", html.escape(text, quote=False))
    return re.sub(r"--[a-z][\w.\\]*\w", lambda flag: f"`{flag[0]}`".replace("\\", ""), plain)


def _read(_: Any, __: str, source: list[str]) -> None:
    text = with_explorer_links(source[0])
    for outside, page in _OUTSIDE.items():
        text = text.replace(f"]({outside})", f"]({page})")
    source[0] = text


def _signature(*arguments: Any) -> tuple[str | None, str | None]:
    """Names JAX's array type as users import it."""
    signature, returns = arguments[-2:]
    return tuple(text and text.replace("jaxlib._jax.Array", "Array") for text in (signature, returns))  # type: ignore[return-value]


def _finished(app: Any, exception: Exception | None) -> None:
    if exception is not None or app.builder.name != "html":
        return
    site = Path(app.outdir)
    shutil.copytree(Path(app.srcdir) / "explorer", site / "explorer", dirs_exist_ok=True)
    write_versions(site, os.environ.get("DOCS_URL", ""))


def write_versions(site: Path, url: str) -> None:
    """Writes the list of versions that the pages' menu shows, and the page that leads to the newest.

    Args:
      site: Folder of one version's pages; its neighbours are the other versions.
      url: Address under which the folder of all versions will be found; "" is the root of its server.
    """
    parent = site.parent
    folders = [path.parent for path in parent.glob("*/searchindex.js")]
    names = sorted((path.name for path in folders), key=_version, reverse=True)
    entries = [{"name": name, "version": name, "url": f"{url}/{name}/"} for name in names]
    (parent / "versions.json").write_text(json.dumps(entries, indent=1) + "\n", encoding="utf-8")
    page = '<!doctype html><meta charset="utf-8"><title>cnn_jax</title>'
    page += f'<meta http-equiv="refresh" content="0; url={names[0]}/">'
    (parent / "index.html").write_text(f'{page}<a href="{names[0]}/">cnn_jax {names[0]}</a>\n', encoding="utf-8")


def _version(name: str) -> tuple[tuple[int, str], ...]:
    return tuple((int(part) if part.isdigit() else -1, part) for part in name.split("."))
