"""Tensors as a weight file describes them: views of storages, checked before any memory is read or asked for."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import ml_dtypes
import numpy as np

from cnn_jax.pretrained.errors import WeightsError

# A file may unpack, and spread by zero strides, to this many times its size and this many bytes more.
MOST_EXPANSION = 64
FREE_BYTES = 2**20

# PyTorch's types of storages; `torch.float32` and the like name the same types.
STORAGES = {
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
    "ComplexFloatStorage": np.dtype(np.complex64),
    "ComplexDoubleStorage": np.dtype(np.complex128),
    "UntypedStorage": np.dtype(np.uint8),
    # quantized tensors are not read, but lie beside others
    "QInt8Storage": np.dtype(np.int8),
    "QUInt8Storage": np.dtype(np.uint8),
    "QInt32Storage": np.dtype(np.int32),
    "QUInt4x2Storage": np.dtype(np.uint8),
    "QUInt2x4Storage": np.dtype(np.uint8),
}
DTYPES = {
    name: np.dtype(getattr(ml_dtypes, name, name))
    for name in (
        *("float64", "float32", "float16", "bfloat16", "float8_e4m3fn", "float8_e4m3fnuz", "float8_e5m2"),
        *("float8_e5m2fnuz", "float8_e8m0fnu", "complex64", "complex128"),
        *("int64", "int32", "int16", "int8", "uint64", "uint32", "uint16", "uint8", "bool"),
    )
}


class Unread(NamedTuple):
    """A value that is not read: an object of some class, or a tensor that is not plain.

    Attributes:
      kind: Kind of value with its article, for messages.
      fix: How to save it so that it can be read; empty where there is no way.
    """

    kind: str
    fix: str = ""


class Budget:
    """Bytes that a file may still ask for.

    Args:
      file_size: Size of the file in bytes.
    """

    def __init__(self, file_size: int):
        self._file_size = file_size
        self._left = MOST_EXPANSION * file_size + FREE_BYTES

    def take(self, size: int) -> None:
        """Counts bytes before they are asked for.

        Raises:
          WeightsError: Where the file has asked for more than its size allows.
        """
        self._left -= size
        if self._left < 0:
            raise WeightsError(
                f"its {self._file_size:,} bytes would unpack to more than {MOST_EXPANSION} times as many: "
                "no weights do; save them anew with .contiguous().clone(), uncompressed"
            )


class Storage:
    """One storage, whose bytes are read when a tensor needs them.

    Args:
      dtype: Type of the elements.
      count: Number of elements that the file declares.
      read: Gives the bytes; None until it is known where they lie.
    """

    def __init__(self, dtype: np.dtype, count: int, read: Callable[[], Any] | None = None):
        self.dtype, self.count, self.read = dtype, whole(count, "elements of a storage"), read
        self._bytes: np.ndarray | None = None

    def content(self) -> np.ndarray:
        """Reads the bytes.

        Raises:
          WeightsError: Where they are missing, or not as many as declared.
        """
        if self._bytes is None:
            if self.read is None:
                raise WeightsError("the file ends before its last storage")
            self._bytes = np.frombuffer(self.read(), np.uint8)
        declared = self.count * self.dtype.itemsize
        if len(self._bytes) != declared:
            reach = "a tensor reaches beyond its storage" if declared > len(self._bytes) else "a storage is damaged"
            raise WeightsError(f"{reach}: it has {len(self._bytes):,} bytes, {declared:,} are declared")
        return self._bytes

    def part(self, offset: int, count: int) -> Storage:
        """Gives a view of some elements as a storage of its own."""
        first, size = whole(offset, "offset of a view") * self.dtype.itemsize, self.dtype.itemsize
        return Storage(self.dtype, count, lambda: self.content()[first : first + count * size])


class Tensor(NamedTuple):
    """A strided view of a storage, by the file's word.

    Attributes:
      storage: The storage.
      offset: Offset of the first element, in elements.
      shape: Sizes of the dimensions.
      strides: Steps along the dimensions, in elements.
      dtype: Type of the elements; None is the storage's.
    """

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    dtype: np.dtype | None = None

    def array(self, budget: Budget) -> np.ndarray:
        """Copies the elements out of the storage.

        Args:
          budget: Bytes that the file may still ask for.

        Raises:
          WeightsError: Where the view reaches out of its storage, or asks for too much memory.
        """
        if not isinstance(self.storage, Storage):
            raise WeightsError("a tensor has no storage: the file is damaged")
        if not isinstance(self.shape, tuple) or not isinstance(self.strides, tuple):
            raise WeightsError("a tensor has no shape or no strides: the file is damaged")
        dtype = self.dtype or self.storage.dtype
        offset = whole(self.offset, "offset of a tensor")
        shape = [whole(size, "size of a tensor") for size in self.shape]
        strides = [whole(stride, "stride of a tensor") for stride in self.strides]
        if len(shape) != len(strides) or len(shape) > 64:
            raise WeightsError(f"a tensor has {len(shape)} sizes and {len(strides)} strides: the file is damaged")
        count = math.prod(shape)
        available = self.storage.count * self.storage.dtype.itemsize // dtype.itemsize
        reach = offset + (sum((n - 1) * step for n, step in zip(shape, strides, strict=True)) + 1 if count else 0)
        if reach > available:
            raise WeightsError(f"a tensor reaches beyond its storage: to element {reach:,} of {available:,}")
        budget.take(count * dtype.itemsize)
        if not count:
            if max(shape) >= 2**31:
                raise WeightsError(f"a tensor has a size of {max(shape):,} and no elements: the file is damaged")
            return np.zeros(shape, dtype)
        content = self.storage.content()
        elements = content[: available * dtype.itemsize].view(dtype)[offset:]
        steps = [step * dtype.itemsize if n > 1 else 0 for n, step in zip(shape, strides, strict=True)]
        return np.lib.stride_tricks.as_strided(elements, shape, steps, writeable=False).copy()


def whole(value: Any, meaning: str) -> int:
    """Checks that a value of a file is a whole number of at least 0.

    Raises:
      WeightsError: Where it is not.
    """
    if type(value) is not int or value < 0:
        raise WeightsError(f"the {meaning} is {str(value)[:40]}, not a whole number of at least 0: the file is damaged")
    return value
