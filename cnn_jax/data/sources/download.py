"""Fetching a published file: resumed where it broke off, verified before it counts."""

from __future__ import annotations

import hashlib
import http.client
import os
import time
import urllib.error
import urllib.request
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

from cnn_jax.terminal import print_line

TIMEOUT_SECONDS = 5.0
TRIES = 3
_BLOCK = 1 << 16


class DownloadError(Exception):
    """A file that could not be fetched; the message says why."""


def fetch(url: str, target: Path, sha256: str, length: int) -> None:
    """Fetches one file.

    What has arrived when a connection breaks stays in `target`.part, and the next try, of this process or
    another, goes on from there.

    Args:
      url: Address of the file.
      target: Where it is put, whole, verified, and in one move.
      sha256: SHA-256 of its content, in hex.
      length: In bytes.

    Raises:
      DownloadError: where it cannot be fetched after three tries, or is not the file that was published.
    """
    part = target.with_name(target.name + ".part")
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        task = progress.add_task(target.name, total=length)
        if not console.is_terminal:
            print_line(console, f"fetching {url}")
        for attempt in range(1, TRIES + 1):
            try:
                _go_on(url, part, length, lambda done: progress.update(task, completed=done))
                break
            except (urllib.error.URLError, http.client.HTTPException, OSError) as error:
                if attempt == TRIES or (isinstance(error, urllib.error.HTTPError) and error.code == 404):
                    raise DownloadError(f"{url}: {getattr(error, 'reason', None) or error}") from error
                time.sleep(0.2 * attempt)
    if hashlib.sha256(part.read_bytes()).hexdigest() != sha256:
        size = part.stat().st_size
        part.unlink()
        raise DownloadError(f"{url}: what arrived ({size:,} bytes) is not the published file: its SHA-256 differs")
    os.replace(part, target)


def _go_on(url: str, part: Path, length: int, report: object) -> None:
    """Appends to the part what is still missing of it."""
    assert callable(report)
    have = part.stat().st_size if part.exists() else 0
    if have > length:
        part.unlink()
        have = 0
    if have == length:
        return
    request = urllib.request.Request(url, headers={"Range": f"bytes={have}-"} if have else {})
    with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS) as answer:
        if have and answer.status != http.client.PARTIAL_CONTENT:
            have = 0  # the server sends everything again
        with part.open("ab" if have else "wb") as file:
            while block := answer.read(_BLOCK):
                file.write(block)
                have += len(block)
                report(have)
    if have < length:
        raise http.client.IncompleteRead(b"", length - have)
