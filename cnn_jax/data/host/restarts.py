"""Restart markers for JPEGs, so that a part of a picture can be decoded without the rest (`cnn_jax.data.host.jpeg`).

jpegtran, which comes with libjpeg-turbo, reads a JPEG's code and writes it anew without touching the values, so the
pixels stay the same. The markers take a few bytes each; codes made for the picture take as many less.
"""

from __future__ import annotations

import math
import shutil
import subprocess

from cnn_jax.data.errors import DataError
from cnn_jax.data.host import jpeg
from cnn_jax.data.host.jpeg import Jpeg
from cnn_jax.data.host.picture import open_picture

_TOOL = "jpegtran"
_TILES = 32  # in a row of a picture, about, of one unit each at least; a part is read with some that it only touches


def require_tool() -> None:
    """Looks for jpegtran.

    Raises:
      DataError: where there is none.
    """
    if shutil.which(_TOOL) is None:
        raise DataError(
            f"--restart_markers needs {_TOOL}, which is not installed; `apt-get install libjpeg-turbo-progs` on Debian "
            "and Ubuntu, `brew install jpeg-turbo` on macOS; or leave --restart_markers out"
        )


def mark(content: bytes) -> bytes:
    """Writes a JPEG anew, with restart markers that make tiles of it.

    Args:
      content: Content of a picture's file.

    Returns:
      A file of the same pixels; the same file where it has been marked before, is no JPEG of one or three colours, or
      jpegtran does not take it as it is.
    """
    headers = jpeg.read(content)
    if headers is None or headers.colours not in (1, 3) or headers.tiles_at is not None:
        return content
    command = [_TOOL, "-copy", "all", "-optimize", "-restart", f"{_interval(headers)}B"]
    done = subprocess.run(command, input=content, capture_output=True, check=False)
    if done.returncode == 0 and is_marked(done.stdout) and _pixels(done.stdout) == _pixels(content):
        return jpeg.with_index(done.stdout)
    return content


def is_marked(content: bytes) -> bool:
    """Whether a file has restart markers that make tiles of it."""
    headers = jpeg.read(content)
    return headers is not None and headers.tile is not None


def _interval(headers: Jpeg) -> int:
    """The number of units in a tile that divides a row of them and is nearest to what is wanted."""
    across = headers.units_across
    wanted = max(across / _TILES, 1)
    divisors = (count for count in range(1, across + 1) if across % count == 0)
    return min(divisors, key=lambda count: abs(math.log(count / wanted)))


def _pixels(content: bytes) -> bytes:
    with open_picture(content) as opened:
        return opened.tobytes()
