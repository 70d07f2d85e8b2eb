"""XLA's flags, which must be in the environment before JAX starts."""

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
# Creating any of XLA's option objects makes it parse the flags. A failed import says nothing about them.
_READ_FLAGS = """
try:
    from jaxlib.xla_client import CompileOptions
except Exception:
    raise SystemExit(0)
CompileOptions()
"""


def environment(experiment: Experiment) -> dict[str, str]:
    """Returns the environment variables that an experiment's process needs in addition to those that are set.

    `train.deterministic` needs a flag of XLA's GPU compiler that excludes kernels with an undefined order of sums and
    autotuning between kernels. Every build of XLA accepts the flag; on other platforms it has no effect.

    Args:
      experiment: The resolved config.

    Returns:
      XLA_FLAGS with the missing flag after the user's own flags; empty if nothing is missing.

    Raises:
      ConfigError: If the user's own flags contradict the config.
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
    """Returns an error if the process was started without a flag that the experiment needs; None if it was not.

    Args:
      experiment: The resolved config.
      platform: JAX's platform: "cpu", "gpu" or "tpu".
    """
    if platform != "gpu" or not environment(experiment):
        return None
    return (
        f"config.train.deterministic: true needs --{_DETERMINISTIC}=true in XLA_FLAGS before JAX starts; launch.py "
        "sets it; from Python, os.environ.update(xla_flags.environment(experiment)) before the first import of jax"
    )


def check_known() -> None:
    """Checks that XLA accepts the user's flags, because it aborts the process on others when JAX starts.

    Raises:
      ConfigError: If it does not.
    """
    if not os.environ.get(_VARIABLE, "").strip():
        return
    tried = subprocess.run(
        [sys.executable, "-P", "-c", _READ_FLAGS], capture_output=True, text=True, errors="replace", check=False
    )
    if tried.returncode:
        lines = [re.sub(r"^[A-Z]\d.*?\] ", "", line).strip() for line in tried.stderr.splitlines()]
        why = next((line for line in lines if _VARIABLE in line or " value " in line), "XLA cannot read it")
        raise ConfigError(
            [f"XLA_FLAGS={os.environ[_VARIABLE]}: {why}; correct the flag, or leave XLA_FLAGS out (`unset XLA_FLAGS`)"]
        )


def given() -> str:
    """Returns the user's flags, read from a file if XLA_FLAGS names one.

    Raises:
      ConfigError: If the file cannot be read.
    """
    text = os.environ.get(_VARIABLE, "").strip()
    return _content(text).strip() if text and not text.startswith("-") else text


def _value(flags: str) -> str | None:
    """Returns the last value of the deterministic flag; None if it is not set."""
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
