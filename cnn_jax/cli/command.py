"""Declarations of commands and flags."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, Literal, TypeVar

from absl import flags

from cnn_jax.config.parsing import ConfigError

_Read = TypeVar("_Read")


@dataclasses.dataclass(frozen=True)
class Flag:
    """A flag of the command line.

    Attributes:
      name: Name, without dashes.
      help: Description, for --help and errors.
      default: Default value.
      kind: str, bool, int or float.
      choices: Legal values of a string; empty for any.
      least, most: Range of a number; None for no bound.
      repeated: Whether it may be given several times.
      required: Whether the command needs it.
      path: "read" for a file or folder; "written" for a folder that libraries write into; "" if it is not a path.
    """

    name: str
    help: str
    default: Any = None
    kind: type = str
    choices: tuple[str, ...] = ()
    least: float | None = None
    most: float | None = None
    repeated: bool = False
    required: bool = False
    path: Literal["", "read", "written"] = ""

    def define(self, values: flags.FlagValues) -> None:
        """Defines the flag in absl."""
        if self.repeated:
            flags.DEFINE_multi_string(self.name, self.default, self.help, values)
        elif self.choices:
            flags.DEFINE_enum(self.name, self.default, self.choices, self.help, values)
        elif self.kind is bool:
            flags.DEFINE_bool(self.name, self.default, self.help, values)
        elif self.kind is int:
            flags.DEFINE_integer(self.name, self.default, self.help, self.least, self.most, values)
        elif self.kind is float:
            flags.DEFINE_float(self.name, self.default, self.help, self.least, self.most, values)
        else:
            flags.DEFINE_string(self.name, self.default, self.help, values)


@dataclasses.dataclass(frozen=True)
class Arguments:
    """Parsed arguments of a command.

    Attributes:
      values: Value of each flag of the command, of the flag's kind; paths are `Path` objects.
      given: Names of the flags on the command line.
      overrides: Values of --config.FIELD by field; for a finished run, strings by field of config.data.
    """

    values: Mapping[str, Any]
    given: frozenset[str]
    overrides: Mapping[str, Any]

    def __getitem__(self, name: str) -> Any:
        return self.values[name]


@dataclasses.dataclass(frozen=True)
class Command:
    """A command.

    Attributes:
      name: First word of its command line.
      help: One-line description.
      flags: Flags, in the order of --help.
      read: Parses the arguments to a request; raises ConfigError with all faults.
      run: Runs the request; returns the exit code.
      config: Use of --config.FIELD: "fields" to override any field, "moved" to give new paths of a finished run's data.
      uses_jax: Whether the command or a child process of it starts JAX, so that JAX's settings are checked first.
      words: Name of the repeated flag whose values are also positional arguments; "" if there are none.
    """

    name: str
    help: str
    flags: tuple[Flag, ...]
    read: Callable[[Arguments], Any]
    run: Callable[[Any], int]
    config: Literal["none", "fields", "moved"] = "none"
    uses_jax: bool = True
    words: str = ""


def attempt(faults: list[str], read: Callable[[], _Read]) -> _Read | None:
    """Returns the result of `read`; on a ConfigError appends its faults and returns None."""
    try:
        return read()
    except ConfigError as error:
        faults += error.faults
        return None
