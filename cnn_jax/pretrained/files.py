"""Weight files: .safetensors, and PyTorch's .pth and .pt without PyTorch and without running what is in them.

A .pth file is a pickle, which could call anything. The reader here knows an ordered dictionary, the few functions
that put tensors together, and the storage types, and refuses whatever else a file names.

Source: the two layouts of `torch.save`: a zip archive with `data.pkl` and a file for each storage (since 1.6), and
before that pickles one after the other with the storages behind them.
"""

from __future__ import annotations

import collections
import pickle
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import ml_dtypes
import numpy as np
from safetensors.numpy import load_file

from cnn_jax.pretrained.convert import WeightsError

_STORAGES = {
    "DoubleStorage": np.dtype(np.float64),
    "FloatStorage": np.dtype(np.float32),
    "HalfStorage": np.dtype(np.float16),
    "BFloat16Storage": np.dtype(ml_dtypes.bfloat16),
    "LongStorage": np.dtype(np.int64),
    "IntStorage": np.dtype(np.int32),
    "ShortStorage": np.dtype(np.int16),
    "CharStorage": np.dtype(np.int8),
    "ByteStorage": np.dtype(np.uint8),
    "BoolStorage": np.dtype(np.bool_),
}
_LEGACY_MAGIC = 0x1950A86A20F9469CFC6C


def read_state_dict(path: Path) -> dict[str, np.ndarray]:
    """Reads a file of named arrays.

    Args:
      path: a .safetensors, .pth or .pt file; a dictionary under "state_dict" or "model" is looked into.

    Returns:
      Names to arrays.

    Raises:
      WeightsError: where there is no such file, it is damaged, or it holds anything but named arrays.
    """
    if not path.is_file():
        raise WeightsError(f"there is no file {path}")
    try:
        if path.suffix == ".safetensors":
            return dict(load_file(path))
        content = _read_zip(path) if zipfile.is_zipfile(path) else _read_legacy(path)
    except WeightsError:
        raise
    except Exception as error:  # damaged pickles and archives raise many kinds
        raise WeightsError(f"{path} cannot be read as weights: {type(error).__name__}: {error}") from error
    for key in ("state_dict", "model"):
        if isinstance(content, dict) and isinstance(content.get(key), dict):
            content = content[key]
    if not isinstance(content, dict) or not all(isinstance(value, np.ndarray) for value in content.values()):
        raise WeightsError(f"{path} holds no dictionary of names to arrays; save a model's state_dict()")
    return {str(name).removeprefix("module."): value for name, value in content.items()}


class _Unpickler(pickle.Unpickler):
    """Builds dictionaries and arrays, and nothing else."""

    def __init__(self, file: BinaryIO, storage: Callable[[tuple[Any, ...]], Any]):
        super().__init__(file)
        self._storage = storage

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("collections", "OrderedDict"):
            return collections.OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return _rebuild_tensor
        if (module, name) == ("torch._utils", "_rebuild_parameter"):
            return lambda tensor, requires_grad, hooks: tensor
        if module == "torch" and name in _STORAGES:
            return _STORAGES[name]
        raise WeightsError(f"the file asks for {module}.{name}, which weights do not need; it is not read any further")

    def persistent_load(self, pid: tuple[Any, ...]) -> Any:
        return self._storage(pid)


class _Storage:
    """Bytes of one storage, which the older layout brings only after the tensors that use it."""

    def __init__(self, dtype: np.dtype):
        self.dtype = dtype
        self.data: np.ndarray | None = None


def _rebuild_tensor(storage: _Storage, offset: int, shape: tuple[int, ...], strides: tuple[int, ...], *_: Any) -> Any:
    return _Tensor(storage, offset, shape, strides)


class _Tensor:
    """A view of a storage; an array once that is there."""

    def __init__(self, storage: _Storage, offset: int, shape: tuple[int, ...], strides: tuple[int, ...]):
        self._storage, self._offset, self._shape, self._strides = storage, offset, tuple(shape), tuple(strides)

    def array(self) -> np.ndarray:
        data = self._storage.data
        if data is None:
            raise WeightsError("the file ends before its last storage")
        last = self._offset + sum((n - 1) * step for n, step in zip(self._shape, self._strides, strict=True))
        if min(self._shape, default=1) > 0 and not 0 <= last < len(data):
            raise WeightsError("a tensor reaches beyond its storage")
        strides = [step * data.itemsize for step in self._strides]
        return np.lib.stride_tricks.as_strided(data[self._offset :], self._shape, strides).copy()


def _as_arrays(content: Any) -> Any:
    if isinstance(content, dict):
        return {key: _as_arrays(value) for key, value in content.items()}
    return content.array() if isinstance(content, _Tensor) else content


def _read_zip(path: Path) -> Any:
    with zipfile.ZipFile(path) as archive:
        pickled = next((name for name in archive.namelist() if name.endswith("data.pkl")), None)
        if pickled is None:
            raise WeightsError(f"{path} is an archive without a data.pkl: no weights")
        folder = pickled.removesuffix("data.pkl")
        storages: dict[str, _Storage] = {}

        def storage(pid: tuple[Any, ...]) -> _Storage:
            _, dtype, key, *_ = pid
            if key not in storages:
                storages[key] = _Storage(dtype)
                storages[key].data = np.frombuffer(archive.read(f"{folder}data/{key}"), dtype)
            return storages[key]

        with archive.open(pickled) as file:
            return _as_arrays(_Unpickler(file, storage).load())  # type: ignore[arg-type]


def _read_legacy(path: Path) -> Any:
    storages: dict[str, _Storage] = {}

    def storage(pid: tuple[Any, ...]) -> _Storage:
        _, dtype, key, *_ = pid
        return storages.setdefault(key, _Storage(dtype))

    with path.open("rb") as file:
        if _Unpickler(file, storage).load() != _LEGACY_MAGIC:
            raise WeightsError(f"{path} is no file of torch.save")
        for _ in ("protocol", "system"):
            _Unpickler(file, storage).load()
        content = _Unpickler(file, storage).load()
        for key in _Unpickler(file, storage).load():
            (count,) = struct.unpack("<q", file.read(8))
            each = storages[key]
            each.data = np.frombuffer(file.read(count * each.dtype.itemsize), each.dtype)
    return _as_arrays(content)
