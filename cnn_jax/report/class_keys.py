"""Names of classes as keys beside others: columns of a table, entries of a file."""

from __future__ import annotations

from collections.abc import Collection, Sequence


def class_keys(class_names: Sequence[str], taken: Collection[str]) -> list[str]:
    """Names classes beside other keys: a class that is called like one of those is "class NAME".

    Args:
      class_names: Names of the classes, all different.
      taken: Keys of other things.

    Returns:
      The keys of the classes, all different and none taken.
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
