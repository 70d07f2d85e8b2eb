"""Code blocks of the documentation's pages, and the commands of those that are for a shell."""

import dataclasses
import os
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = {str(path.relative_to(ROOT)): path for path in (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")))}
"""Every page, by its path from the repository's folder."""
_NOT_RUN = "<!-- not run: "
# Programs that record their words; nothing else is found, so that no block does anything.
_PROGRAMS = ("python", "pip", "make", "ray", ".venv/bin/python", ".venv-tpu/bin/python", ".venv-tpu/bin/pip")
_RECORDER = '#!/bin/sh\n{ printf "%s\\0" "${0##*/}" "$@"; printf "\\n"; } >> "$COMMANDS"\n'


@dataclasses.dataclass(frozen=True)
class Block:
    """A fenced block.

    Attributes:
      page: Path of its page, from the repository's folder.
      line: Line of its fence, from 1.
      language: First word after the fence.
      text: Content.
      not_run: Reason for which it cannot run here, from the comment before it; "" where it can.
    """

    page: str
    line: int
    language: str
    text: str
    not_run: str

    @property
    def name(self) -> str:
        """Page and line."""
        return f"{self.page}:{self.line}"


def blocks(page: str) -> list[Block]:
    """Reads a page's blocks.

    Args:
      page: One of PAGES.
    """
    found, start = [], None
    lines = PAGES[page].read_text(encoding="utf-8").splitlines()
    for number, line in enumerate(lines):
        fence = line.strip().startswith("```")
        if fence and start is None:
            start = number
        elif fence:
            before = lines[start - 1].strip()
            reason = "hours of training" if page.startswith("docs/results/") else ""
            if before.startswith(_NOT_RUN):
                reason = before.removeprefix(_NOT_RUN).removesuffix(" -->")
            indent = len(lines[start]) - len(lines[start].lstrip())
            text = "".join(f"{each[indent:]}\n" for each in lines[start + 1 : number])
            words = (lines[start].strip()[3:].split() or [_untagged(text)])[0]
            found.append(Block(page, start + 1, words, text, reason))
            start = None
    assert start is None, f"{page}:{start}: a fence that is not closed"
    return found


def _untagged(text: str) -> str:
    """The language of a block without one: README's start with a program where they are commands."""
    return "bash" if text.split()[0] in ("make", "python", ".venv/bin/python") else "text"


def commands(block: Block, folder: Path) -> list[list[str]]:
    """Lets a shell read a block; programs record their words in place of doing anything.

    Args:
      block: Block for a shell.
      folder: Folder in which it is read.

    Returns:
      The words of each command, the program's name first.
    """
    record = folder / "commands"
    record.write_text("")
    for name in _PROGRAMS:
        program = folder / "programs" / name if "/" not in name else folder / name
        program.parent.mkdir(parents=True, exist_ok=True)
        program.write_text(_RECORDER)
        program.chmod(0o755)
    environment = {"PATH": str(folder / "programs"), "COMMANDS": str(record), "HOME": os.environ.get("HOME", "/")}
    subprocess.run(["/bin/bash", "-c", block.text], cwd=folder, env=environment, capture_output=True, check=False)
    return [line.removesuffix("\0").split("\0") for line in record.read_text().splitlines()]


def fault(block: Block, namespace: dict[str, object]) -> str:
    """Runs a block of Python.

    Args:
      block: Block.
      namespace: Names that the page's blocks share; the block's own are added.

    Returns:
      The line that failed and why; "" where none did.
    """
    # Empty lines in front, so that a fault has the page's own line number.
    code = compile("\n" * block.line + block.text, block.page, "exec")
    try:
        exec(code, namespace)
    except Exception as error:
        trace = error.__traceback__
        line = trace.tb_next.tb_lineno if trace and trace.tb_next else block.line
        shown = PAGES[block.page].read_text(encoding="utf-8").splitlines()[line - 1]
        return f"{block.page}:{line}: {shown}\n{error!r}"
    return ""
