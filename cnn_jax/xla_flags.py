"""XLA's flags of a process: they count only where they are in its environment before JAX starts."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from cnn_jax.config import Experiment
from cnn_jax.config.parsing import ConfigError

_VARIABLE = "XLA_FLAGS"
_DETERMINISTIC = "xla_gpu_deterministic_ops"
# Any object of XLA's options makes it read them. What fails otherwise says nothing about them.
_READ_FLAGS = """
try:
    from jaxlib.xla_client import CompileOptions
except Exception:
    raise SystemExit(0)
CompileOptions()
"""


def environment(experiment: Experiment) -> dict[str, str]:
    """The environment variables that an experiment's process needs besides those that are set.

    `train.deterministic` needs a flag of XLA's GPU compiler: no kernel whose sums come in any order, and none chosen by
    a race between several. Every build of XLA knows the flag, and on other platforms it does nothing.

    Args:
      experiment: The resolved config.

    Returns:
      XLA_FLAGS with what is missing in it, the user's own flags first; nothing where nothing is missing.

    Raises:
      ConfigError: where the user's own flags contradict the config.
    """
    if not experiment.train.deterministic:
        return {}
    given = os.environ.get(_VARIABLE, "").strip()
    in_file = bool(given) and not given.startswith("-")
    value = _value(_content(given) if in_file else given)
    if value in ("true", "1"):
        return {}
    if value is not None:
        raise ConfigError(
            [
                f"config.train.deterministic: true, and XLA_FLAGS has --{_DETERMINISTIC}={value}; take the flag out of "
                "XLA_FLAGS, or set config.train.deterministic=false"
            ]
        )
    if in_file:
        raise ConfigError(
            [
                f"config.train.deterministic: true needs --{_DETERMINISTIC}=true, and XLA_FLAGS names the file "
                f"{given}, which has no such flag; write it into the file"
            ]
        )
    return {_VARIABLE: f"{given} --{_DETERMINISTIC}=true".strip()}


def fault(experiment: Experiment, platform: str) -> str | None:
    """Says that a process lacks a flag that it should have been started with; None where it does not.

    Args:
      experiment: The resolved config.
      platform: "cpu", "gpu" or "tpu", that JAX runs on.
    """
    if platform != "gpu" or not environment(experiment):
        return None
    return (
        f"config.train.deterministic: true needs --{_DETERMINISTIC}=true in XLA_FLAGS before JAX starts; launch.py "
        "sets it; from Python, os.environ.update(xla_flags.environment(experiment)) before the first import of jax"
    )


def check_known() -> None:
    """Checks that this machine's XLA can read the user's flags: with others it ends the process when JAX starts.

    Raises:
      ConfigError: If it cannot.
    """
    if not os.environ.get(_VARIABLE, "").strip():
        return
    tried = subprocess.run(
        [sys.executable, "-P", "-c", _READ_FLAGS], capture_output=True, text=True, errors="replace", check=False
    )
    if tried.returncode:
        lines = [re.sub(r"^[A-Z]\d.*?\] ", "", line).strip() for line in tried.stderr.splitlines()]
        told = next((line for line in lines if _VARIABLE in line or " value " in line), "XLA cannot read it")
        raise ConfigError(
            [f"XLA_FLAGS={os.environ[_VARIABLE]}: {told}; correct the flag, or leave XLA_FLAGS out (`unset XLA_FLAGS`)"]
        )


def given() -> str:
    """Reads the flags as the user has given them; the content of the file, if XLA_FLAGS names one.

    Raises:
      ConfigError: If there is no such file.
    """
    text = os.environ.get(_VARIABLE, "").strip()
    return _content(text).strip() if text and not text.startswith("-") else text


def _value(flags: str) -> str | None:
    """Gives the flag's last value; None where it is not set."""
    value = None
    for word in flags.split():
        name, _, text = word.lstrip("-").partition("=")
        if name == _DETERMINISTIC:
            value = text.lower() or "true"
    return value


def _content(file: str) -> str:
    try:
        return Path(file).read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise ConfigError([f"XLA_FLAGS: cannot read the file {file}: {error.strerror}"]) from error
