"""Provenance of a result: code, packages, devices, flags and data."""

from __future__ import annotations

import functools
import hashlib
import importlib.metadata
import os
import platform
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cnn_jax import __version__
from cnn_jax.plain_text import valid_unicode
from cnn_jax.run import machine
from cnn_jax.run.records import DataIdentity, Devices, Git, Provenance

_PACKAGES = ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy", "tensorflow-datasets")


def collect(data_name: str, data_checksum: str, devices: Sequence[Any], trained_together: int = 1) -> Provenance:
    """Describes this process.

    Args:
      data_name: The config's name of the data source.
      data_checksum: SHA-256 (hex) of the data set.
      devices: All devices of the run, as `jax.devices()` lists them.
      trained_together: Number of runs that one program trains, this one included.

    Returns:
      The content of provenance.json; git is None outside a checkout.
    """
    return Provenance(
        cnn_jax=__version__,
        git=_git(),
        packages=_versions(),
        python=platform.python_version(),
        platform=platform.platform(),
        devices=Devices(
            platform=devices[0].platform,
            kind=devices[0].device_kind,
            count=len(devices),
            processor=machine.processor(),
            cores=os.cpu_count(),
        ),
        xla_flags=valid_unicode(os.environ.get("XLA_FLAGS", "")),
        data=DataIdentity(name=data_name, checksum=data_checksum),
        command=valid_unicode(" ".join(["python", *sys.argv])),
        trained_together=trained_together,
    )


@functools.cache
def _versions() -> dict[str, str]:
    return {name: importlib.metadata.version(name) for name in _PACKAGES}


@functools.cache  # the code that this process has loaded does not change
def _git() -> Git | None:
    """Reads the commit, and a hash of uncommitted changes, of the checkout that holds this code."""
    commit = _git_output("rev-parse", "HEAD")
    if commit is None:
        return None
    changes = (_git_output("diff", "HEAD") or "") + (_git_output("status", "--porcelain") or "")
    dirty = hashlib.sha256(changes.encode()).hexdigest()[:12] if changes else None
    return Git(commit=commit, dirty=dirty)


def _git_output(*words: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", *words], cwd=Path(__file__).parent, capture_output=True, text=True, timeout=10, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
