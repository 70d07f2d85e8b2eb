"""The error of a run's folder."""

from __future__ import annotations


class RunFolderError(Exception):
    """A folder or a file in it cannot be used; the message names it and the fix."""
