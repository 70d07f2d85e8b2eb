"""The three layouts of `torch.save`, read without PyTorch.

Source: `torch/serialization.py`. Since PyTorch 1.6 a zip archive with `data.pkl` and a file for each storage; before,
pickles one after the other with the storages behind them; before 2017 a tar archive of `storages`, `tensors`, `pickle`.
"""

from __future__ import annotations

import contextlib
import io
import struct
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from cnn_jax.pretrained import pickled
from cnn_jax.pretrained.errors import WeightsError
from cnn_jax.pretrained.tensors import Budget, Storage, Tensor, whole

_LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
_BLOCK = 512  # bytes of a tar archive's header, and what its files are padded to
_PIECE = 2**20  # bytes unpacked at once


@contextlib.contextmanager
def opened(path: Path, head: bytes, budget: Budget) -> Iterator[Any]:
    """Reads what `torch.save` wrote; inside the `with` the arrays of its tensors can be made.

    Args:
      path: The file.
      head: Its first 512 bytes, which say its layout.
      budget: Bytes that the file may ask for.

    Yields:
      The object, with a `Tensor` in the place of each tensor, whose storage is read when its array is made.

    Raises:
      WeightsError: Where the file is damaged, or of none of the layouts.
    """
    if head.startswith(b"PK\x03\x04"):
        with zipfile.ZipFile(path) as archive:
            yield _of_zip(archive, budget)
    elif head.startswith(b"\x80"):
        yield _of_pickles(path.read_bytes())
    elif head[257:262] == b"ustar":
        yield _of_tar(path.read_bytes())
    else:
        raise WeightsError("it is neither a file of torch.save nor of safetensors")


def _of_zip(archive: zipfile.ZipFile, budget: Budget) -> Any:
    """Reads the layout since PyTorch 1.6."""
    names = archive.namelist()
    pickles = [name for name in names if name.split("/")[1:] == ["data.pkl"]]
    if len(pickles) != 1 or len(set(names)) != len(names):
        has = ", ".join(sorted(names)[:4]) + ", ..." * (len(names) > 4)
        raise WeightsError(f"an archive with {len(pickles)} data.pkl, not one: torch.save wrote none such ({has})")
    if not any(member.CRC for member in archive.infolist()):  # saved without checksums: torch's set_crc32_options
        for member in archive.infolist():
            del member.CRC
    folder = pickles[0].removesuffix("data.pkl")
    big_endian = f"{folder}byteorder" in names and _member(archive, f"{folder}byteorder", budget) == b"big"
    storages: dict[str, Storage] = {}

    def make(dtype: np.dtype, key: str, count: int) -> Storage:
        if key not in storages:
            each = dtype.newbyteorder(">") if big_endian else dtype
            storages[key] = Storage(each, count, lambda: _member(archive, f"{folder}data/{key}", budget))
        return storages[key]

    content = _member(archive, pickles[0], budget)
    return pickled.load(io.BytesIO(content), lambda pid: pickled.storage_of(pid, make))


def _member(archive: zipfile.ZipFile, name: str, budget: Budget) -> bytes:
    """Unpacks a file of an archive; what it declares is counted before, and it cannot unpack to more."""
    try:
        member = archive.getinfo(name)
    except KeyError:
        raise WeightsError(f"the archive has no {name}: it is damaged") from None
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) or member.flag_bits & 1:
        raise WeightsError(f"{name} is encrypted, or packed in a way that torch.save does not; unpack it first")
    budget.take(member.file_size)
    pieces = []
    with archive.open(member) as file:
        while piece := file.read(_PIECE):
            pieces.append(piece)
    content = b"".join(pieces)
    if len(content) != member.file_size:
        raise WeightsError(f"{name} has {len(content):,} of {member.file_size:,} bytes: the file is cut off")
    return content


def _of_pickles(content: bytes) -> Any:
    """Reads the layout of 2017 to 2020."""
    storages: dict[str, Storage] = {}

    def make(dtype: np.dtype, key: str, count: int) -> Storage:
        return storages.setdefault(key, Storage(dtype, count))

    file = io.BytesIO(content)

    def load() -> Any:
        return pickled.load(file, lambda pid: pickled.storage_of(pid, make))

    if load() != _LEGACY_MAGIC:
        raise WeightsError("a pickle, but not of torch.save; save a model's state_dict() with torch.save")
    for _ in ("protocol", "system"):
        load()
    result = load()
    keys = load()
    if not isinstance(keys, list) or not all(isinstance(key, str) and key in storages for key in keys):
        raise WeightsError("its list of storages is damaged")
    for key in keys:
        _place(storages[key], file, content)
    return result


def _of_tar(content: bytes) -> Any:
    """Reads the layout before 2017."""
    members = _tar_members(content)
    if missing := [name for name in ("storages", "tensors", "pickle") if name not in members]:
        raise WeightsError(f"a tar archive without {', '.join(missing)}: torch.save wrote none such")
    objects: dict[int, Any] = {}

    def persistent(pid: Any) -> Any:
        if isinstance(pid, tuple):  # a pickled network's class, source file and source
            return pid[0]
        if not isinstance(pid, (int, str)) or int(pid) not in objects:
            raise WeightsError("a tensor is missing: the file is damaged")
        return objects[int(pid)]

    file = io.BytesIO(members["storages"])
    for _ in range(whole(pickled.load(file, persistent), "number of storages")):
        key, _, kind = pickled.load(file, persistent)
        (count,) = struct.unpack("<q", file.read(8))
        file.seek(-8, io.SEEK_CUR)
        objects[whole(key, "key of a storage")] = storage = Storage(pickled.storage_dtype(kind), count)
        _place(storage, file, members["storages"])
    for target, root, offset, count in pickled.load(file, persistent):
        objects[whole(target, "key of a view")] = objects[root].part(offset, count)

    file = io.BytesIO(members["tensors"])
    for _ in range(whole(pickled.load(file, persistent), "number of tensors")):
        key, storage_key, _ = pickled.load(file, persistent)
        (dimensions, _) = struct.unpack("<ii", file.read(8))
        if not 0 <= dimensions <= 64:
            raise WeightsError(f"a tensor has {dimensions} dimensions: the file is damaged")
        numbers = struct.unpack(f"<{2 * dimensions + 1}q", file.read(8 * (2 * dimensions + 1)))
        shape, strides, offset = numbers[:dimensions], numbers[dimensions:-1], numbers[-1]
        objects[whole(key, "key of a tensor")] = Tensor(objects[storage_key], offset, shape, strides)
    return pickled.load(io.BytesIO(members["pickle"]), persistent)


def _place(storage: Storage, file: BinaryIO, content: bytes) -> None:
    """Notes where a storage's bytes lie, behind their number of elements, and goes on behind them."""
    (count,) = struct.unpack("<q", file.read(8))
    if count != storage.count:
        raise WeightsError(f"a storage of {storage.count:,} elements has {count:,} in the file: it is damaged")
    first = file.tell()
    end = first + count * storage.dtype.itemsize
    if end > len(content):
        raise WeightsError("the file ends before its last storage")
    storage.read = lambda: memoryview(content)[first:end]
    file.seek(end)


def _tar_members(content: bytes) -> dict[str, bytes]:
    """Gives the plain files of a tar archive by name."""
    members, position = {}, 0
    while any(header := content[position : position + _BLOCK]):
        position += _BLOCK
        # sizes and sums are octal numbers in text
        size, checksum = (int(header[start:end].strip(b" \0") or b"0", 8) for start, end in ((124, 136), (148, 156)))
        if sum(header[:148]) + sum(b" " * 8) + sum(header[156:]) != checksum or size < 0:
            raise WeightsError("a tar archive with a damaged header")
        if position + size > len(content):
            raise WeightsError("a tar archive that is cut off")
        if header[156:157] in (b"0", b"\0"):
            name = header[:100].split(b"\0")[0].decode("utf-8", "replace").removeprefix("./")
            members[name] = content[position : position + size]
        position += -(-size // _BLOCK) * _BLOCK
    return members
