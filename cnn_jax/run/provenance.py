"""Provenance of a result: code, packages, devices, flags and data."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import importlib.metadata
import os
import platform
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from cnn_jax import __version__, jax_settings, xla_flags
from cnn_jax.run import machine
from cnn_jax.run.records import DataIdentity, Devices, Git, Provenance

_PACKAGES = ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy", "tensorflow-datasets")
# Those that need not be installed: compilers of accelerators, and what decodes and resizes pictures.
_OPTIONAL = ("libtpu", "jax-cuda12-plugin", "jax-cuda13-plugin", "pillow", "simplejpeg", "cykooz.resizer")


def collect(
    data: DataIdentity,
    devices: Sequence[Any],
    settings: Mapping[str, str],
    trained_together: int = 1,
    weights_checksum: str | None = None,
) -> Provenance:
    """Describes this process.

    Args:
      data: The data set.
      devices: All devices of the run, as `jax.devices()` lists them.
      settings: Settings that numbers depend on, as `jax_settings.recorded` lists them.
      trained_together: Number of runs that one program trains, this one included.
      weights_checksum: SHA-256 (hex) of the file of weights that the network starts from; None without one.

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
            used_cores=machine.cores_of_xla(),
        ),
        xla_flags=xla_flags.given(),
        settings=dict(settings),
        data=data,
        command=" ".join(["python", *sys.argv]),
        trained_together=trained_together,
        weights_checksum=weights_checksum,
    )


def differences(before: Provenance, now: Provenance) -> list[str]:
    """Lists what changes the bits of a result besides its config and its data.

    Args:
      before: Content of a provenance.json, perhaps of an older version; what it does not know is no difference.
      now: The same of another process.

    Returns:
      One line each, such as `packages.jax: 0.10.2 -> 0.11.0`.
    """
    was, found = (dict(_conditions(each)) for each in (before, now))
    lines = []
    for name in dict.fromkeys([*was, *found]):
        if before.settings is not None and now.settings is not None and name.startswith("settings."):
            old, new = was.get(name, "not set"), found.get(name, "not set")
        elif name in was and name in found:
            old, new = was[name], found[name]
        else:
            continue
        if old != new:
            lines.append(f"{name}: {old} -> {new}")
    return lines


def _conditions(made_by: Provenance) -> Iterator[tuple[str, str]]:
    """Gives names and values of all that is known of what bits depend on."""
    devices = made_by.devices
    if made_by.git is not None or made_by.cnn_jax is not None:
        yield "code", str(made_by.git or f"cnn_jax {made_by.cnn_jax}")
    for name, version in made_by.packages.items():
        yield f"packages.{name}", version
    if made_by.python is not None:
        yield "python", made_by.python
    yield "devices", f"{devices.count} x {devices.kind} ({devices.platform})"
    if devices.platform == "cpu":
        yield "processor", devices.processor
        if devices.used_cores is not None:
            yield "cores", str(devices.used_cores)
    if made_by.xla_flags is not None:
        yield "xla_flags", made_by.xla_flags or "none"
    for name, value in (made_by.settings or {}).items():
        if jax_settings.changes_numbers(name):
            yield f"settings.{name}", value
    yield "trained_together", str(made_by.trained_together)


@functools.cache
def _versions() -> dict[str, str]:
    versions = {name: importlib.metadata.version(name) for name in _PACKAGES}
    for name in _OPTIONAL:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions[name] = importlib.metadata.version(name)
    return versions


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
