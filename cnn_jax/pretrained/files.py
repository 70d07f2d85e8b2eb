"""Weight files: .safetensors, and PyTorch's .pth and .pt without PyTorch and without running what is in them."""

from __future__ import annotations

import contextlib
import re
import struct
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open

from cnn_jax.pretrained import numpy_pickle, torch_file
from cnn_jax.pretrained.errors import WeightsError
from cnn_jax.pretrained.tensors import Budget, Tensor, Unread

# Where checkpoints keep the weights among other things. Moving averages come last: where a file has both, the trained
# weights are taken.
CONTAINERS = (
    *("state_dict", "model_state_dict", "model_state", "model", "network", "net", "module", "weights", "params"),
    *("state_dict_ema", "model_ema", "ema_state_dict", "ema_model", "ema"),
)
_DEEPEST = 8  # containers within containers
# Parts of names: those of wrappers (DataParallel, compile, FSDP) may stand anywhere, a network's place in front.
WRAPPERS = frozenset({"module", "_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module"})
HOLDERS = frozenset({"model", "net", "network"})

# Damaged or foreign bytes end in one of these, wherever a reader meets them.
_DAMAGE = (
    *(ValueError, TypeError, IndexError, KeyError, OverflowError, RecursionError, NotImplementedError),
    *(EOFError, struct.error, zlib.error, zipfile.BadZipFile, SafetensorError),
)


def read_state_dict(path: Path) -> dict[str, np.ndarray]:
    """Reads a file of named arrays.

    Args:
      path: A .safetensors, .pth or .pt file. Its content says which; its name does not matter. Of a checkpoint the
        dictionary under "state_dict", "model" and the like is looked into, and whatever is no tensor is left out.

    Returns:
      Names to arrays, without the parts of names that wrappers put there ("module.", "_orig_mod.", "model.").
      Tensors that are not dense are left out.

    Raises:
      WeightsError: Where there is no such file, it is damaged, or it holds no named tensors.
    """
    return {name: value for name, value in read_entries(path).items() if isinstance(value, np.ndarray)}


def read_entries(path: Path) -> dict[str, np.ndarray | Unread]:
    """Reads a file of named arrays, as `read_state_dict` does, and keeps account of what is not read.

    Args:
      path: As `read_state_dict` takes it.

    Returns:
      Names to arrays, or to what stands there instead.

    Raises:
      WeightsError: As `read_state_dict`.
    """
    with _naming(path):
        return _plainly_named(_read(path))


def read_numpy_pickle(path: Path) -> dict[str, np.ndarray]:
    """Reads a pickle of NumPy arrays in dictionaries and lists, and runs nothing that is in it.

    Args:
      path: File that `pickle.dump` wrote.

    Returns:
      Arrays by their place: the keys and the positions in lists on the way to each, joined by "/".

    Raises:
      WeightsError: Where there is no such file, it is damaged, or it asks for anything but such arrays.
    """
    with _naming(path):
        return numpy_pickle.read(path.read_bytes())


@contextlib.contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Turns whatever reading a file may end in into an error that names it."""
    if not path.is_file():
        raise WeightsError(
            f"{path}: there is no file" if not path.is_dir() else f"{path}: it is a folder, not a file of weights"
        )
    try:
        yield
    except WeightsError as error:
        raise WeightsError(f"{path}: {error}") from error
    except OSError as error:
        raise WeightsError(f"{path}: cannot be read: {error.strerror or error}") from error
    except MemoryError as error:
        raise WeightsError(f"{path}: it does not fit into memory") from error
    except _DAMAGE as error:
        detail = f"{type(error).__name__}: {error}"[:200]
        raise WeightsError(f"{path}: cannot be read as weights, it is damaged: {detail}") from error


def _read(path: Path) -> dict[str, np.ndarray | Unread]:
    with path.open("rb") as file:
        head = file.read(512)
    if len(head) > 8 and head[8:9] == b"{":
        return dict(_safetensors(path))
    if (kind := _foreign(head)) is not None:
        raise WeightsError(kind)
    budget = Budget(path.stat().st_size)
    with torch_file.opened(path, head, budget) as content:
        entries = _weights(content)
        return {name: each.array(budget) if isinstance(each, Tensor) else each for name, each in entries.items()}


def _foreign(head: bytes) -> str | None:
    """Says what a file is that is neither of PyTorch nor of safetensors."""
    known = {
        b"": "it is empty",
        b"\x1f\x8b": "it is packed by gzip; unpack it first",
        b"version https://git-lfs": "it is a pointer of Git LFS; get the weights by `git lfs pull`",
        b"\x89HDF": "it is an HDF5 file of Keras; PyTorch's .pth or .safetensors are read",
    }
    for start, meaning in known.items():
        if head.startswith(start) and (start or not head):
            return meaning
    if re.match(rb"\s*(<!doctype|<html|<\?xml)", head, re.IGNORECASE):
        return "it is a web page, not the weights; download the file itself"
    return None


def _safetensors(path: Path) -> Iterator[tuple[str, np.ndarray | Unread]]:
    """Reads each tensor; the library checks that header, offsets and file go together."""
    with safe_open(path, framework="np") as file:
        for name in file.keys():  # noqa: SIM118, it is no dictionary
            try:
                yield name, file.get_tensor(name)
            except (AttributeError, TypeError, KeyError):  # types that NumPy lacks, of 4 or 6 bits
                yield name, Unread(f"a tensor of type {file.get_slice(name).get_dtype()}", ".float()")


def _weights(content: Any) -> dict[str, Tensor | Unread]:
    """Looks for the dictionary of names to tensors in what `torch.save` was given."""
    place = ""
    for _ in range(_DEEPEST):
        inside = content if isinstance(content, dict) else {}
        key = next((key for key in CONTAINERS if isinstance(inside.get(key), dict) and inside[key]), None)
        if key is None:
            break
        content, place = inside[key], f"{place}[{key!r}]"
    if isinstance(content, Unread):
        raise WeightsError(f"it holds {content.kind}; save the network's state_dict() instead")
    if not isinstance(content, dict):
        raise WeightsError(f"it holds no dictionary of names to tensors but a {type(content).__name__}")
    tensors = {name: value for name, value in content.items() if isinstance(value, (Tensor, Unread))}
    if not any(isinstance(value, Tensor) for value in tensors.values()):
        has = "; ".join(f"{key[:40]!r}: {_described(value)}" for key, value in list(content.items())[:6])
        raise WeightsError(
            f"it holds no dictionary of names to tensors{f' in {place}' * bool(place)}, but {{{has}}}; "
            "save the network's state_dict()"
        )
    return tensors


def _described(value: Any) -> str:
    return (
        value.kind if isinstance(value, Unread) else "dictionary" if isinstance(value, dict) else type(value).__name__
    )


def _plainly_named(entries: Mapping[str, np.ndarray | Unread]) -> dict[str, np.ndarray | Unread]:
    """Takes the parts out of names that wrappers and a network's place in another put there."""
    named: dict[str, np.ndarray | Unread] = {}
    origin: dict[str, str] = {}
    for name, value in entries.items():
        plain = _plain(name)
        if plain in named:
            raise WeightsError(f"{origin[plain]} and {name} are both {plain}: save the weights of one network alone")
        named[plain], origin[plain] = value, name
    return named


def _plain(name: str) -> str:
    *parts, last = name.split(".")
    parts = [part for part in parts if part not in WRAPPERS]
    while parts and parts[0] in HOLDERS:
        del parts[0]
    return ".".join([*parts, last])
