"""Files as `torch.save` writes them, byte by byte and without PyTorch, so that they can be wrong as well.

A pickle is written by the opcodes of `pickletools`, because its classes need not exist here.
"""

import io
import pickle
import struct
import tarfile
import zipfile
from typing import Any, NamedTuple

import numpy as np

MAGIC = 0x1950A86A20F9469CFC6C
NAMES = {"float32": "FloatStorage", "float64": "DoubleStorage", "int64": "LongStorage", "float16": "HalfStorage"}


class Global(NamedTuple):
    """A class or function by its name."""

    module: str
    name: str


class Call(NamedTuple):
    """Call of a function with arguments; `state` is set on its result afterwards."""

    function: Global
    arguments: tuple
    state: Any = None


class Persistent(NamedTuple):
    """An object by its persistent id."""

    pid: Any


class Raw(NamedTuple):
    """Opcodes as they are."""

    opcodes: bytes


class View(NamedTuple):
    """A tensor: a view of the storage of an array, in elements."""

    content: np.ndarray
    offset: Any
    shape: tuple
    strides: tuple
    count: int | None = None  # elements that the pickle declares; None is the truth


def view(array: np.ndarray) -> View:
    """A whole array as a tensor."""
    array = np.asarray(array)
    strides = [step // array.itemsize for step in np.empty(array.shape, array.dtype).strides]
    return View(array.ravel(), 0, array.shape, tuple(strides))


def opcodes(value: Any) -> bytes:
    """Opcodes that put a value on the stack."""
    match value:
        case Raw(bytes_):
            return bytes_
        case Global(module, name):
            return f"c{module}\n{name}\n".encode()
        case Call(function, arguments, state):
            made = opcodes(function) + opcodes(arguments) + b"R"
            return made if state is None else made + opcodes(state) + b"b"
        case Persistent(pid):
            return opcodes(pid) + b"Q"
        case dict():
            items = b"".join(opcodes(key) + opcodes(each) for key, each in value.items())
            return b"}(" + items + b"u"
        case tuple():
            return b"(" + b"".join(map(opcodes, value)) + b"t"
        case list():
            return b"](" + b"".join(map(opcodes, value)) + b"e"
        case None | str() | int() | float() | bytes():
            return pickle.dumps(value, 2)[2:-1]
    raise TypeError(type(value))


def pickled(value: Any) -> bytes:
    """A whole pickle of a value."""
    return b"\x80\x02" + opcodes(value) + b"."


class _Storages:
    """Numbers the storages of the tensors in an object, and puts calls into their place."""

    def __init__(self):
        self.contents: list[np.ndarray] = []

    def within(self, value: Any) -> Any:
        match value:
            case View():
                key = next((i for i, each in enumerate(self.contents) if each is value.content), len(self.contents))
                if key == len(self.contents):
                    self.contents.append(value.content)
                kind = Global("torch", NAMES[value.content.dtype.name])
                count = len(value.content) if value.count is None else value.count
                storage = Persistent(("storage", kind, str(key), "cpu", count))
                arguments = (storage, value.offset, value.shape, value.strides, False, empty_dictionary())
                return Call(Global("torch._utils", "_rebuild_tensor_v2"), arguments)
            case dict():
                return {key: self.within(each) for key, each in value.items()}
            case Call(function, arguments, state):
                return Call(function, tuple(self.within(each) for each in arguments), self.within(state))
        return value


def empty_dictionary() -> Call:
    return Call(Global("collections", "OrderedDict"), ())


def zipped(value: Any, compression: int = zipfile.ZIP_STORED) -> bytes:
    """The layout since 1.6."""
    storages, file = _Storages(), io.BytesIO()
    content = pickled(storages.within(value))
    with zipfile.ZipFile(file, "w", compression) as archive:
        archive.writestr("archive/data.pkl", content)
        for key, each in enumerate(storages.contents):
            archive.writestr(f"archive/data/{key}", each.tobytes())
    return file.getvalue()


def legacy(value: Any) -> bytes:
    """The layout of 2017 to 2020."""
    storages = _Storages()
    content = pickled(storages.within(value))
    heads = [pickled(each) for each in (MAGIC, 1001, {"protocol_version": 1001, "little_endian": True})]
    keys = pickled([str(key) for key in range(len(storages.contents))])
    bodies = [struct.pack("<q", len(each)) + each.tobytes() for each in storages.contents]
    return b"".join([*heads, content, keys, *bodies])


def tarred(tensors: dict[str, View], wrapped=lambda state_dict: state_dict) -> bytes:
    """The layout before 2017: tensors by name, in a dictionary that `wrapped` puts into others."""
    storages, tables = pickled(len(tensors)), pickled(len(tensors))
    for key, each in enumerate(tensors.values(), 1):
        kind = Global("torch", NAMES[each.content.dtype.name])
        storages += pickled((1000 + key, "cpu", kind)) + struct.pack("<q", len(each.content)) + each.content.tobytes()
        count = len(each.shape)
        tables += pickled((key, 1000 + key, Global("torch", "FloatTensor")))
        tables += struct.pack(f"<ii{2 * count + 1}q", count, 0, *each.shape, *each.strides, each.offset)
    state_dict = {name: Persistent(str(key)) for key, name in enumerate(tensors, 1)}
    members = {"storages": storages + pickled([]), "tensors": tables, "pickle": pickled(wrapped(state_dict))}
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:", format=tarfile.PAX_FORMAT) as archive:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return file.getvalue()
