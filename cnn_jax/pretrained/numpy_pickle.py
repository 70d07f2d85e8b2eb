"""NumPy's pickles read as data: arrays of numbers in dictionaries, lists and tuples; everything else is refused.

NumPy pickles an array as a call of `_reconstruct`, which makes an empty one, and a state: shape, type, order and bytes.
From protocol 5 on it is a call of `_frombuffer` with all of these.

Source: `numpy/_core/src/multiarray/methods.c:array_reduce`, `descriptor.c:arraydescr_reduce`.
"""

from __future__ import annotations

import functools
import io
import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from cnn_jax.pretrained import pickled
from cnn_jax.pretrained.errors import WeightsError
from cnn_jax.pretrained.pickled import Built, Global
from cnn_jax.pretrained.tensors import whole

MOST_ENTRIES = 100_000  # arrays and whatever lies beside them; a network has hundreds
_DEEPEST = 16  # dictionaries within dictionaries
_LARGEST_SIZE = 2**31  # of one dimension
_NUMBERS = {
    kind + size: np.dtype(kind + size)
    for kind, sizes in {"f": "248", "i": "1248", "u": "1248"}.items()
    for size in sizes
}
_NUMBERS |= {"b1": np.dtype(np.bool_)}


def read(content: bytes) -> dict[str, np.ndarray]:
    """Reads a pickle of arrays.

    Args:
      content: The pickle.

    Returns:
      Arrays by their place: the keys and the positions in lists on the way to each, joined by "/".

    Raises:
      WeightsError: Where the pickle holds or asks for anything but arrays of numbers in dictionaries, lists and tuples,
        or more of them than any network has.
      ValueError, IndexError, KeyError, TypeError, RecursionError: Where it is damaged.
    """
    arrays: dict[str, np.ndarray] = {}
    for place, value in _leaves(pickled.load(io.BytesIO(content), _persistent, _made)):
        name = "/".join(place)
        if not isinstance(value, _Array):
            raise WeightsError(f"{name or 'its content'} is a {type(value).__name__}, not a NumPy array")
        if name in arrays:
            raise WeightsError(f"two arrays have the name {name}")
        arrays[name] = value.array
    if not arrays:
        raise WeightsError("it holds no arrays")
    return arrays


def _leaves(content: Any) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Gives what is no dictionary, list or tuple, with its place, in order."""
    waiting: list[tuple[tuple[str, ...], Any]] = [((), content)]
    seen = 0
    while waiting:
        place, value = waiting.pop()
        if not isinstance(value, (dict, list, tuple)):
            yield place, value
            continue
        seen += len(value) + 1
        if seen > MOST_ENTRIES:
            raise WeightsError(f"it holds more than {MOST_ENTRIES:,} values: no network has as many arrays")
        if len(place) == _DEEPEST:
            raise WeightsError(f"its dictionaries lie more than {_DEEPEST} deep within each other: no weights do")
        inside = value.items() if isinstance(value, dict) else enumerate(value)
        waiting += [((*place, str(key)), each) for key, each in inside][::-1]


class _Type(Built):
    """Type of an array's numbers.

    Args:
      code: Kind and size in bytes, as "f4".
    """

    def __init__(self, code: Any):
        if not isinstance(code, str) or code not in _NUMBERS:
            raise WeightsError(f"an array of the type {str(code)[:20]!r}: only numbers are read")
        self.dtype = _NUMBERS[code]

    def set_state(self, state: Any) -> None:
        """Takes the order of the bytes; what makes a type more than a number must be missing."""
        if not isinstance(state, tuple) or len(state) < 5 or state[1] not in ("<", ">", "|", "=") or any(state[2:5]):
            raise WeightsError("an array of a type with parts: only numbers are read")
        self.dtype = self.dtype.newbyteorder("<" if state[1] == "=" else state[1])


class _Array(Built):
    """An array, empty until its state is known."""

    def __init__(self) -> None:
        self._content: tuple[bytes, np.dtype, tuple[int, ...], str] | None = None

    def set_state(self, state: Any) -> None:
        """Takes (version, shape, type, whether the first axis is dense, bytes)."""
        if not isinstance(state, tuple) or len(state) != 5:
            raise WeightsError("a NumPy array has no state: the file is damaged")
        _, shape, kind, is_fortran, content = state
        self.fill(content, kind, shape, "F" if is_fortran else "C")

    def fill(self, content: Any, kind: Any, shape: Any, order: Any) -> None:
        """Takes bytes, type, shape and order, once they go together."""
        if isinstance(content, str):
            content = content.encode("latin-1")  # bytes of Python 2
        if not isinstance(content, (bytes, bytearray)) or not isinstance(kind, _Type):
            raise WeightsError("a NumPy array has no bytes or no type: the file is damaged")
        if not isinstance(shape, tuple) or len(shape) > 32 or order not in ("C", "F"):
            raise WeightsError("a NumPy array has no shape or no order: the file is damaged")
        sizes = tuple(whole(size, "size of an array") for size in shape)
        if max(sizes, default=0) >= _LARGEST_SIZE:
            raise WeightsError(f"an array has a size of {max(sizes):,}: the file is damaged")
        size = math.prod(sizes) * kind.dtype.itemsize
        if size != len(content):
            raise WeightsError(f"an array of {size:,} bytes has {len(content):,} in the file: it is damaged")
        self._content = (bytes(content), kind.dtype, sizes, order)

    @functools.cached_property
    def array(self) -> np.ndarray:
        """The array, in this machine's order of bytes."""
        if self._content is None:
            raise WeightsError("a NumPy array has no state: the file is damaged")
        content, dtype, shape, order = self._content
        return (
            np.frombuffer(content, dtype)
            .reshape(shape, order="F" if order == "F" else "C")
            .astype(dtype.newbyteorder("="))
        )


def _empty(*_: Any) -> _Array:
    return _Array()


def _filled(content: Any, kind: Any, shape: Any, order: Any, *_: Any) -> _Array:
    array = _Array()
    array.fill(content, kind, shape, order)
    return array


def _encoded(text: Any, encoding: Any = "latin1") -> bytes:
    """Bytes as protocols before 3 write them."""
    if not isinstance(text, str) or encoding != "latin1":
        raise WeightsError("bytes of another encoding than latin1: the file is damaged")
    return text.encode("latin-1")


def _no_bytes(*arguments: Any) -> bytes:
    """Empty bytes, which those protocols write as a call without arguments."""
    if arguments:
        raise WeightsError("it asks for bytes made of something: only NumPy arrays are read, and nothing is run")
    return b""


_CALLS: dict[Global, Callable[..., Any]] = {
    Global("numpy", "dtype"): lambda code=None, *_: _Type(code),
    Global("_codecs", "encode"): _encoded,
    Global("__builtin__", "bytes"): _no_bytes,
    **{Global(f"numpy.{core}.multiarray", "_reconstruct"): _empty for core in ("core", "_core")},
    **{Global(f"numpy.{core}.numeric", "_frombuffer"): _filled for core in ("core", "_core")},
}


def _made(function: Any, arguments: Any) -> Any:
    """Gives what a call stands for; nothing is called but the functions of this file."""
    if isinstance(function, Global) and isinstance(arguments, tuple) and function in _CALLS:
        return _CALLS[function](*arguments)
    named = f"{function.module}.{function.name}" if isinstance(function, Global) else type(function).__name__
    raise WeightsError(f"it asks for {named[:60]}: only NumPy arrays are read, and nothing is run")


def _persistent(_: Any) -> Any:
    raise WeightsError("it refers to objects outside of the file: only NumPy arrays are read")
