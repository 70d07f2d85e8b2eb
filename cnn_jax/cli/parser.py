"""Parses the command line: a command, absl flags, and `--config.a.b=value` to override fields of the experiment."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from absl import flags

from cnn_jax import user_path
from cnn_jax.cli.command import Arguments, Command, Flag
from cnn_jax.cli.values import field_value
from cnn_jax.config import locations
from cnn_jax.config.fields import field_rows
from cnn_jax.config.parsing import ConfigError
from cnn_jax.plain_text import valid_unicode
from cnn_jax.words import did_you_mean

_HELP = ("-h", "--h", "-help", "--help", "--helpfull", "help")


class HelpRequested(Exception):
    """The command line asks for help; the message is the help text."""


def parse(argv: Sequence[str], commands: Mapping[str, Command]) -> tuple[Command, Any]:
    """Parses a command line.

    Args:
      argv: Words after the program's name.
      commands: All commands, by name.

    Returns:
      (command, its request).

    Raises:
      ConfigError: If the command, flags, files or fields have faults; the message lists all of them.
      HelpRequested: For --help, or an empty command line.
    """
    words = _joined(argv, commands)
    name = next((word for word in words if not word.startswith("-")), "")
    if not words or any(word in _HELP for word in words):
        raise HelpRequested(help_text(commands.get(name), commands))
    if name not in commands:
        raise ConfigError(
            [f"verb: got {name!r}, expected one of: {', '.join(commands)}" + did_you_mean(name, commands)]
        )
    words.remove(name)
    command = commands[name]
    arguments, faults = _read(command, words, commands)
    if arguments is not None:
        try:
            request = command.read(arguments)
        except ConfigError as error:
            faults += error.faults
    if faults:
        raise ConfigError(faults)
    return command, request


def _booleans(commands: Mapping[str, Command]) -> set[str]:
    """Returns the names of flags that take no value."""
    names = {flag.name for command in commands.values() for flag in command.flags if flag.kind is bool}
    return names | {f"no{name}" for name in names} | {"help", "helpfull"}


def _joined(argv: Sequence[str], commands: Mapping[str, Command]) -> list[str]:
    """Rewrites `--name value` as `--name=value`, which absl parses, and `--a-b` as `--a_b`."""
    booleans = _booleans(commands)
    words: list[str] = []
    takes_value = False
    for word in argv:
        if takes_value and not word.startswith("-"):
            words[-1] += f"={word}"
            takes_value = False
            continue
        name, *rest = word.removeprefix("--").split("=", 1)
        if word.startswith("--") and not name.startswith("config."):
            name = name.replace("-", "_")
            word = "=".join([f"--{name}", *rest])
        takes_value = word.startswith("--") and "=" not in word and name not in booleans
        words.append(word)
    return words


def _read(
    command: Command, words: Sequence[str], commands: Mapping[str, Command]
) -> tuple[Arguments | None, list[str]]:
    """Parses the words of a command to (arguments, faults); no arguments if a required flag or a path is unusable."""
    values, faults, known = flags.FlagValues(), [], []
    overrides: dict[str, Any] = {}
    for flag in command.flags:
        flag.define(values)
    if command.words:
        words = [word if word.startswith("-") else f"--{command.words}={word}" for word in words]
    for word in words:
        name, has_value, text = word.lstrip("-").partition("=")
        if word.startswith("--config."):
            fault = _override(command, name.removeprefix("config."), text if has_value else None, overrides)
        else:
            fault = _flag_fault(command, word, commands)
            if fault is None:
                known.append(word)
        faults += [fault] if fault else []
    for word in known:
        try:
            values([command.name, word])
        except flags.Error as error:
            faults.append(f"--{word.lstrip('-').partition('=')[0]}: {error}".replace("flag ", "", 1))
    values.mark_as_parsed()
    for flag in command.flags:
        if isinstance(values[flag.name].value, float) and not math.isfinite(values[flag.name].value):
            faults.append(f"--{flag.name}: got {values[flag.name].value}, expected a finite number: {flag.help}")
    given = frozenset(word.lstrip("-").partition("=")[0] for word in words)
    missing = [flag for flag in command.flags if flag.required and flag.name not in given]
    faults += [f"--{flag.name}: {command.name} needs it: {flag.help}" for flag in missing]
    read = {flag.name: values[flag.name].value for flag in command.flags}
    unusable = []
    for flag in command.flags:
        if flag.path and read[flag.name]:
            try:
                read[flag.name] = _path(flag, read[flag.name])
            except ConfigError as error:
                unusable += error.faults
    faults += unusable
    return (None if missing or unusable else Arguments(read, given, overrides)), faults


def _override(command: Command, field: str, text: str | None, overrides: dict[str, Any]) -> str | None:
    """Adds a --config.FIELD to the overrides, or returns its fault."""
    moves = command.config == "moved" and field.removeprefix("data.") in locations.FIELDS
    if command.config != "fields" and not moves:
        paths = f"; only --config.data.{'|'.join(locations.FIELDS)} may give new paths" * (command.config == "moved")
        return f"--config.{field}: {command.name} takes no config; it uses the run's own config.json{paths}"
    if text is None or (moves and not text):
        return f"--config.{field}: no value given; write --config.{field}=value"
    if moves:
        overrides[field.removeprefix("data.")] = text
    else:
        overrides[field] = field_value(field, text)
    return None


def _flag_fault(command: Command, word: str, commands: Mapping[str, Command]) -> str | None:
    """Returns the fault of a word of the command line that absl would not report well; None if there is none."""
    legal = {flag.name: flag for flag in command.flags}
    name, has_value, text = word.lstrip("-").partition("=")
    positive = name.removeprefix("no")
    if not word.startswith("--"):
        again = "; repeat --images for each file, or name their folder" if "images" in legal else ""
        return f"{word!r}: unexpected word; a flag is written --name=value{again}"
    if name not in legal and not (positive in legal and legal[positive].kind is bool):
        elsewhere = {flag.name for each in commands.values() for flag in each.flags}
        listed = ", ".join(f"--{each}" for each in legal)
        if {name, positive} & elsewhere:
            return f"--{name}: not a flag of {command.name}, which has: {listed}"
        return f"--{name}: unknown flag" + (did_you_mean(name, legal) or f"; {command.name} has: {listed}")
    boolean = name not in legal or legal[name].kind is bool
    if "\0" in text:
        return f"--{name}: got {text!r}, expected text without NUL characters"
    if has_value and name not in legal:
        return f"--{name}: got {text!r}; it takes no value: write --{name}, or --{positive}=false"
    if not has_value and not boolean:
        return f"--{name}: no value given; write --{name}=value"
    if has_value and not text:
        return f"--{name}: empty; expected {legal[name].help}"
    return None


def _path(flag: Flag, given: str | Sequence[str]) -> Path | tuple[Path, ...]:
    """Parses the value of a flag that names files or folders."""
    if not isinstance(given, str):
        return tuple(path for each in given if isinstance(path := _path(flag, each), Path))
    if fault := user_path.fault_of(given):
        raise ConfigError([f"--{flag.name}: {fault}"])
    if flag.path == "written" and valid_unicode(given) != given:
        raise ConfigError([f"--{flag.name}: got {given!r}, whose bytes are not UTF-8; name another folder"])
    if flag.path == "written" and "://" in given:
        raise ConfigError(
            [
                f"--{flag.name}: got {given!r}, expected a folder of a file system; mount a bucket first, for example "
                "with gcsfuse"
            ]
        )
    return user_path.expand(given)


def help_text(command: Command | None, commands: Mapping[str, Command]) -> str:
    """Returns the usage of the program, or of one command with all its flags and config fields."""
    if command is None:
        lines = ["usage: python launch.py VERB [--flag=value ...]", "", "verbs:"]
        lines += [f"  {each.name:10}{each.help}" for each in commands.values()]
        return "\n".join(
            [*lines, "", "python launch.py VERB --help lists a verb's flags; train --help lists the config fields too."]
        )
    words = f" {command.words.upper()} {command.words.upper()} ..." if command.words else ""
    lines = [f"usage: python launch.py {command.name}{words} [--flag=value ...]", "", command.help, "", "flags:"]
    for flag in command.flags:
        default = "required" if flag.required else f"default: {flag.default}"
        legal = f" ({' | '.join(flag.choices)})" if flag.choices else ""
        lines += _wrapped(f"  --{flag.name}", f"{flag.help}{legal} ({default})")
    if command.config == "moved":
        fields = ", ".join(f"--config.data.{name}" for name in locations.FIELDS)
        lines += _wrapped("  --config.data.FIELD", f"new path of the run's data, with the same images: {fields}")
    if command.config == "fields":
        lines += ["", "fields of the config, each as --config.FIELD=VALUE, with type, default and meaning:"]
        for row in field_rows():
            only = f" [with name={row.variant}]" if row.variant else ""
            lines += _wrapped(f"  --config.{row.path}", f"{row.type}; default: {row.default}; {row.meaning}{only}")
    return "\n".join(lines)


def _wrapped(head: str, text: str) -> list[str]:
    body = textwrap.wrap(text, width=100, initial_indent=" " * 6, subsequent_indent=" " * 6)
    return [head, *body]
