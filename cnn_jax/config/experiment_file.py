"""An experiment file: a Python file whose functions give a config and, where it sweeps, the sweep's points."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import reprlib
import sys
import traceback
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

from cnn_jax.config.experiment import Experiment
from cnn_jax.config.parsing import ConfigError
from cnn_jax.words import did_you_mean

_MODULE = "experiment_file"  # name that experiment files run under


def load_config(path: Path) -> Mapping[str, Any] | Experiment:
    """Asks an experiment file for its config.

    Args:
      path: A Python file with `get_config()`, which takes nothing and gives a (nested) dictionary of
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


def load_sweep(path: Path, kind: Literal["sweep", "search"] = "sweep") -> Any:
    """Asks an experiment file for its sweep or its search.

    Args:
      path: A Python file with `get_sweep()` or `get_search()`, which takes nothing.
      kind: Which of the two.

    Returns:
      What it gave.

    Raises:
      ConfigError: where there is no such file, it fails, or it lacks the function.
    """
    if path.suffix == ".json":
        raise ConfigError([f"--config: {path} holds one run's config; a {kind} needs a Python file with get_{kind}()"])
    return _call(path, f"get_{kind}")


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
    """Runs an experiment file, and calls a function of it."""
    if path.suffix != ".py":
        raise ConfigError([f"--config: got {str(path)!r}, expected a Python file with {function}()"])
    _must_exist(path, "*.py")
    spec = importlib.util.spec_from_file_location(_MODULE, path)
    if spec is None or spec.loader is None:
        raise ConfigError([f"--config: {path} cannot be read as a Python file"])
    module = importlib.util.module_from_spec(spec)
    sys.modules[_MODULE] = module  # where dataclasses and others look up the module of a class
    with _refusing_failures(path):
        spec.loader.exec_module(module)
    asked = getattr(module, function, None)
    if not callable(asked):
        raise ConfigError([f"--config: {path} has no function {function}()"])
    with _refusing_failures(path):
        return asked()


class _ProcessExit(BaseException):
    """The experiment file called os._exit; no Exception, so that the file does not catch it by accident."""


@contextlib.contextmanager
def _refusing_failures(path: Path) -> Iterator[None]:
    """Turns whatever an experiment file raises, an exit of the process included, into a ConfigError."""

    def refuse_exit(status: object = 0) -> None:
        raise _ProcessExit(status)

    exit_process = os._exit
    os._exit = refuse_exit  # type: ignore[assignment]
    try:
        yield
    except (ConfigError, KeyboardInterrupt):
        raise
    except BaseException as error:  # sys.exit() raises no Exception, and must not end this process either
        raise ConfigError([f"--config: {path} failed: {_what_failed(path, error)}"]) from error
    finally:
        os._exit = exit_process


def _what_failed(path: Path, error: BaseException) -> str:
    """Describes an error of an experiment file, with the line in that file where there is one."""
    if isinstance(error, SyntaxError):  # of the file itself, or of one that it imports
        where = f"{Path(error.filename).name}:{error.lineno}" if error.filename and error.lineno else path.name
        return f"{type(error).__name__}: {error.msg} ({where})"
    frames = traceback.extract_tb(error.__traceback__)
    # Of an endless recursion the outermost frame says most; of other errors the innermost in the file.
    ordered = frames if isinstance(error, RecursionError) else reversed(frames)
    frame = next((each for each in ordered if os.path.abspath(each.filename) == os.path.abspath(path)), None)
    where = f"{path.name}:{frame.lineno}" if frame else path.name
    try:
        text = str(error)
    except Exception:  # an exception of the user's own may be unable to describe itself
        text = ""
    if isinstance(error, (SystemExit, _ProcessExit)):
        called = "sys.exit" if isinstance(error, SystemExit) else "os._exit"
        told = f"it called {called}({text}) instead of returning its config"
    else:
        told = f"{type(error).__name__}: {text}" if text else type(error).__name__
    return f"{told} ({where})"


def _must_exist(path: Path, pattern: str) -> None:
    if not path.is_file():
        siblings = [str(found) for found in sorted(path.parent.glob(pattern))] if path.parent.is_dir() else []
        siblings += [str(found) for found in sorted(Path("experiments").glob(pattern))]
        raise ConfigError([f"--config: there is no file {str(path)!r}" + did_you_mean(str(path), siblings)])
