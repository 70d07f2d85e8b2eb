"""Unique keys for classes, for tables and files that also have other keys."""

from __future__ import annotations

from collections.abc import Collection, Sequence


def class_keys(class_names: Sequence[str], taken: Collection[str]) -> list[str]:
    """Makes keys of class names; a class whose name is taken becomes "class NAME".

    Args:
      class_names: Names of the classes, all different.
      taken: Other keys of the table or file.

    Returns:
      One key for each class, all different and none in `taken`.
    """
    others = {*taken, *class_names}
    keys = []
    for name in class_names:
        key = name
        while key in taken or (key != name and key in others):
            key = f"class {key}"
        keys.append(key)
        others.add(key)
    return keys
