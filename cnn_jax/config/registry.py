"""Registries of what a config chooses by name: each entry is a section of the config and what builds from it."""

from __future__ import annotations

import pkgutil
from typing import Annotated, Any, Generic, NamedTuple, TypeVar, Union

from pydantic import Field

from cnn_jax.config.types import Section

S = TypeVar("S", bound=Section)


class Entry(NamedTuple, Generic[S]):
    """One choice.

    Attributes:
      config: Its section of the config, with its name, its fields and their meanings.
      build: Function that builds from it, "module:attribute"; imported when it is used, as the config does without JAX.
    """

    config: type[S]
    build: str


def by_name(*entries: Entry[S]) -> dict[str, Entry[S]]:
    """Makes a registry: the entries by their sections' names."""
    return {entry.config.model_fields["name"].default: entry for entry in entries}


def builder(registry: dict[str, Entry[S]], name: str) -> Any:
    """Imports what builds from the section of this name.

    Raises:
      ValueError: Where the registry has no such name.
    """
    if name not in registry:
        raise ValueError(f"{name!r}: expected one of: {', '.join(sorted(registry))}")
    return pkgutil.resolve_name(registry[name].build)


def choice(registry: dict[str, Entry[S]]) -> Any:
    """Makes the type of a field that takes any section of a registry; `name` selects the section."""
    return Annotated[Union[tuple(entry.config for entry in registry.values())], Field(discriminator="name")]  # noqa: UP007
