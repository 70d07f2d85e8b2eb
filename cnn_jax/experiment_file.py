"""An experiment file: a Python file whose functions give a config and, where it sweeps, the sweep's points."""

from __future__ import annotations

import difflib
import importlib.util
import json
import reprlib
import sys
import traceback
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from cnn_jax.config import Experiment
from cnn_jax.config_parse import ConfigError


def load_config(path: Path) -> Mapping[str, Any] | Experiment:
    """Asks an experiment file for its config.

    Args:
      path: a Python file with `get_config()`, which takes nothing and gives a (nested) dictionary of
        fields, or an Experiment; or the `config.json` of a run.

    Returns:
      The config, not yet validated.

    Raises:
      ConfigError: where there is no such file, it fails, or it lacks get_config().
    """
    if path.suffix == ".json":
        return _read_json(path)
    raw = _call(path, "get_config")
    if not isinstance(raw, (Mapping, Experiment)):
        raise ConfigError(
            [f"--config: get_config() of {path} gave {reprlib.repr(raw)}, expected a dictionary or an Experiment"]
        )
    return raw


def load_sweep(path: Path) -> Any:
    """Asks an experiment file for its sweep.

    Args:
      path: a Python file with `get_sweep()`, which takes nothing.

    Returns:
      What it gave.

    Raises:
      ConfigError: where there is no such file, it fails, or it lacks get_sweep().
    """
    if path.suffix == ".json":
        raise ConfigError([f"--config: {path} holds one run's config; a sweep needs a Python file with get_sweep()"])
    return _call(path, "get_sweep")


def _read_json(path: Path) -> Mapping[str, Any]:
    _must_exist(path, "*.json")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError([f"--config: {path} cannot be read: {error}"]) from error
    except RecursionError as error:
        raise ConfigError([f"--config: {path} cannot be read: its values are nested too deeply"]) from error
    if not isinstance(content, dict):
        raise ConfigError([f"--config: {path} holds no JSON object of fields"])
    return content


def _call(path: Path, function: str) -> Any:
    module = _run(path, function)
    asked = getattr(module, function, None)
    if not callable(asked):
        raise ConfigError([f"--config: {path} has no function {function}()"])
    try:
        return asked()
    except ConfigError:
        raise
    except Exception as error:
        raise _failed(path, error) from error


def _run(path: Path, function: str) -> ModuleType:
    if path.suffix != ".py":
        raise ConfigError([f"--config: got {str(path)!r}, expected a Python file with {function}()"])
    _must_exist(path, "*.py")
    spec = importlib.util.spec_from_file_location("experiment_file", path)
    if spec is None or spec.loader is None:
        raise ConfigError([f"--config: {path} cannot be read as a Python file"])
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except ConfigError:
        raise
    except Exception as error:
        raise _failed(path, error) from error
    return module


def _must_exist(path: Path, pattern: str) -> None:
    if not path.is_file():
        siblings = [str(found) for found in sorted(path.parent.glob(pattern))] if path.parent.is_dir() else []
        siblings += [str(found) for found in sorted(Path("experiments").glob(pattern))]
        raise ConfigError([f"--config: there is no file {str(path)!r}" + _near(str(path), siblings)])


def _failed(path: Path, error: Exception) -> ConfigError:
    frames = traceback.extract_tb(sys.exc_info()[2])
    frame = next((each for each in reversed(frames) if each.filename == str(path)), frames[-1])
    where = f"{Path(frame.filename).name}:{frame.lineno}"
    return ConfigError([f"--config: {path} failed: {type(error).__name__}: {error} ({where})"])


def _near(word: str, words: Iterable[str]) -> str:
    found = difflib.get_close_matches(word, list(words), n=1, cutoff=0.6)
    return f"; did you mean {found[0]!r}?" if found else ""
