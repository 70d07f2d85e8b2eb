"""Pickles read as data: dictionaries, lists, numbers, texts and arrays; nothing that a pickle names is called.

A pickle is a program for a small stack machine, which can import and call anything. The machine here has no way to
import or call: it knows the few functions that put tensors together, and takes every other object as unread. What
NumPy's own pickles call stands in `numpy_pickle.py`.

Source: the opcodes are those of Python's `pickletools`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, BinaryIO, NamedTuple

from cnn_jax.pretrained.errors import WeightsError
from cnn_jax.pretrained.tensors import DTYPES, STORAGES, Storage, Tensor, Unread

MOST_OPERATIONS = 4_000_000  # of one pickle; a ResNet-152 with its optimizer has 100,000


class Global(NamedTuple):
    """A name of a module that a pickle asks for."""

    module: str
    name: str


class Built:
    """An object that a pickle makes first and gives its state afterwards."""

    def set_state(self, state: Any) -> None:
        """Takes the state."""
        raise NotImplementedError


Made = Callable[[Any, Any], Any]


def load(file: BinaryIO, persistent: Callable[[Any], Any], made: Made | None = None) -> Any:
    """Reads the next pickle of a file.

    Args:
      file: Open at the pickle's first byte; afterwards at the first byte behind it.
      persistent: Gives the object of a persistent id, which stands for storages or tensors.
      made: Gives what a call of a function with arguments stands for. Defaults to the tensors of PyTorch, every other
        object being unread.

    Returns:
      The object. Dictionaries have only their items whose keys are texts.

    Raises:
      WeightsError: Where the pickle is damaged or too large.
    """
    import pickletools  # its tables take a twentieth of a second to make

    machine = _Machine(persistent, _made if made is None else made)
    for number, (opcode, argument, _) in enumerate(pickletools.genops(file)):
        if number >= MOST_OPERATIONS:
            raise WeightsError(
                f"it has more than {MOST_OPERATIONS:,} values beside the tensors; save the weights alone"
            )
        machine.step(opcode.name, argument)
    return machine.stack[-1]


def storage_dtype(kind: Any) -> Any:
    """Gives the type of a storage's elements.

    Args:
      kind: The class that a pickle names.

    Raises:
      WeightsError: Where no such storage is known.
    """
    if isinstance(kind, Global) and kind.module.split(".")[0] == "torch" and kind.name in STORAGES:
        return STORAGES[kind.name]
    raise WeightsError(f"storages of the type {_spelled(kind)} are not known")


_LITERALS = {
    *("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT"),
    *("STRING", "BINSTRING", "SHORT_BINSTRING", "UNICODE", "SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8"),
    *("BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8"),
}
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": ()}


class _Machine:
    """The stack of a pickle, its marks and its memo."""

    def __init__(self, persistent: Callable[[Any], Any], made: Made):
        self.stack: list[Any] = []
        self._below: list[list[Any]] = []  # stacks under the marks
        self._memo: dict[int, Any] = {}
        self._persistent = persistent
        self._made = made

    def step(self, name: str, argument: Any) -> None:
        """Does one instruction of those that `pickletools` names."""
        stack = self.stack
        match name:
            case _ if name in _LITERALS:
                stack.append(argument)
            case "PUT" | "BINPUT" | "LONG_BINPUT" | "MEMOIZE":
                place = len(self._memo) if name == "MEMOIZE" else argument
                if not 0 <= place < 2**32:
                    raise ValueError("a place of the memo is out of range")
                self._memo[place] = stack[-1]
            case "GET" | "BINGET" | "LONG_BINGET":
                stack.append(self._memo[argument])
            case "TUPLE1" | "TUPLE2" | "TUPLE3":
                count = int(name[-1])
                if len(stack) < count:
                    raise IndexError("too few values for a tuple")
                stack[-count:] = [tuple(stack[-count:])]
            case _ if name in _CONSTANTS:
                stack.append(_CONSTANTS[name])
            case "MARK":
                self._below.append(stack)
                self.stack = []
            case "POP" if stack:
                stack.pop()
            case "POP" | "POP_MARK" | "ADDITEMS":  # a set's items; a mark is taken off with what is above it
                self._marked()
            case "DUP":
                stack.append(stack[-1])
            case "EMPTY_LIST" | "EMPTY_DICT":
                stack.append([] if name == "EMPTY_LIST" else {})
            case "LIST" | "TUPLE" | "FROZENSET":
                values = self._marked()
                made = Unread("a set") if name == "FROZENSET" else tuple(values) if name == "TUPLE" else values
                self.stack.append(made)
            case "DICT":
                values = self._marked()
                self.stack.append({})
                self._set_items(values)
            case "EMPTY_SET":
                stack.append(Unread("a set"))
            case "APPEND" | "APPENDS":
                values = [stack.pop()] if name == "APPEND" else self._marked()
                if isinstance(self.stack[-1], list):
                    self.stack[-1].extend(values)
            case "SETITEM":
                value, key = stack.pop(), stack.pop()
                self._set_items([key, value])
            case "SETITEMS":
                self._set_items(self._marked())
            case "GLOBAL" | "INST":
                module, _, attribute = argument.partition(" ")
                named = Global(module, attribute)
                made = self._made(named, tuple(self._marked())) if name == "INST" else named
                self.stack.append(made)
            case "STACK_GLOBAL":
                attribute, module = stack.pop(), stack.pop()
                stack.append(Global(str(module), str(attribute)))
            case "REDUCE" | "NEWOBJ" | "NEWOBJ_EX":
                if name == "NEWOBJ_EX":
                    stack.pop()  # arguments by name
                arguments, function = stack.pop(), stack.pop()
                stack.append(self._made(function, arguments))
            case "OBJ":
                kind, *values = self._marked()
                self.stack.append(self._made(kind, tuple(values)))
            case "BUILD":
                state = stack.pop()
                if isinstance(stack[-1], Built):  # nothing else that is read has further state
                    stack[-1].set_state(state)
            case "EXT1" | "EXT2" | "EXT4":
                stack.append(Unread("an object of the extension registry"))
            case "PERSID" | "BINPERSID":
                stack.append(self._persistent(argument if name == "PERSID" else stack.pop()))
            case "PROTO" | "FRAME" | "STOP":
                pass
            case _:
                raise ValueError("an instruction that no weights need")

    def _marked(self) -> list[Any]:
        """Takes the values above the last mark."""
        values, self.stack = self.stack, self._below.pop()
        return values

    def _set_items(self, values: list[Any]) -> None:
        if isinstance(self.stack[-1], dict):
            pairs = zip(values[::2], values[1::2], strict=True)
            self.stack[-1].update((key, value) for key, value in pairs if isinstance(key, str))


def _made(function: Any, arguments: Any) -> Any:
    """Gives what a call stands for; nothing is called but the functions of this file."""
    if isinstance(function, Global) and isinstance(arguments, tuple) and function in _CALLS:
        return _CALLS[function](*arguments)
    return Unread(f"an object of {_spelled(function)}")


def _spelled(kind: Any) -> str:
    return f"{kind.module}.{kind.name}" if isinstance(kind, Global) else type(kind).__name__


def _dictionary(items: Any = (), *_: Any) -> dict[str, Any]:
    """An ordered dictionary, which Python 2 gave its items as a list of pairs."""
    pairs = [each for each in items if isinstance(each, (list, tuple)) and len(each) == 2]
    return {key: value for key, value in pairs if isinstance(key, str)}


def _tensor(
    storage: Any, offset: Any, shape: Any, strides: Any, requires_grad: Any = None, hooks: Any = None, flags: Any = None
) -> Tensor | Unread:
    if isinstance(flags, dict) and any(flags.values()):
        return Unread("a tensor that is negated or conjugated when used", ".resolve_neg().resolve_conj()")
    return Tensor(storage, offset, shape, strides)


def _tensor_of_type(*arguments: Any) -> Tensor | Unread:
    """`_rebuild_tensor_v3`: bytes, with a type beside them."""
    storage, offset, shape, strides, _, _, kind, *flags = arguments
    if not isinstance(kind, Global) or kind.module != "torch" or kind.name not in DTYPES:
        return Unread(f"a tensor of type {_spelled(kind)}", ".float()")
    made = _tensor(storage, offset, shape, strides, None, None, *flags)
    return made._replace(dtype=DTYPES[kind.name]) if isinstance(made, Tensor) else made


def _first(value: Any, *_: Any) -> Any:
    return value


def _of_subclass(function: Any, kind: Any, arguments: Any, *_: Any) -> Any:
    return _made(function, arguments)


def _not_plain(kind: str, fix: str) -> Callable[..., Unread]:
    return lambda *_: Unread(kind, fix)


_CALLS: dict[Global, Callable[..., Any]] = {
    Global("collections", "OrderedDict"): _dictionary,
    Global("collections", "defaultdict"): lambda *_: {},
    Global("torch", "Size"): lambda sizes=(): tuple(sizes),
    Global("torch._utils", "_rebuild_tensor"): _tensor,
    Global("torch._utils", "_rebuild_tensor_v2"): _tensor,
    Global("torch._utils", "_rebuild_tensor_v3"): _tensor_of_type,
    Global("torch._utils", "_rebuild_parameter"): _first,
    Global("torch._utils", "_rebuild_parameter_with_state"): _first,
    Global("torch._tensor", "_rebuild_from_type_v2"): _of_subclass,
    Global("torch.nn.parameter", "Parameter"): _first,
    Global("torch.nn.parameter", "Buffer"): _first,
    Global("torch.autograd.variable", "Variable"): _first,
    Global("torch._utils", "_rebuild_sparse_tensor"): _not_plain("a sparse tensor", ".to_dense()"),
    Global("torch._utils", "_rebuild_qtensor"): _not_plain("a quantized tensor", ".dequantize()"),
    Global("torch._utils", "_rebuild_nested_tensor"): _not_plain("a nested tensor", ""),
    Global("torch._utils", "_rebuild_meta_tensor_no_storage"): _not_plain("a tensor without data (device meta)", ""),
    Global("torch._utils", "_rebuild_device_tensor_from_numpy"): _not_plain("a tensor of another device", ".cpu()"),
    Global("torch._utils", "_rebuild_device_tensor_from_cpu_tensor"): _first,
    Global("numpy.core.multiarray", "_reconstruct"): _not_plain("a NumPy array", "torch.from_numpy"),
    Global("numpy._core.multiarray", "_reconstruct"): _not_plain("a NumPy array", "torch.from_numpy"),
}


def storage_of(pid: Any, make: Callable[[Any, str, int], Storage]) -> Any:
    """Gives the storage, or the view of one, that a persistent id of `torch.save` stands for.

    Args:
      pid: ("storage", type, key, device, number of elements) with a view (key, offset, elements) behind it in old
        files; or ("module", class, source file, source), which old files have for the classes of pickled networks.
      make: Gives the storage of a type of elements, a key and a number of elements, the same for the same key.

    Raises:
      WeightsError: Where the id is of no known form.
    """
    if not isinstance(pid, tuple) or len(pid) < 2:
        raise WeightsError("a persistent id is of no known form: the file is damaged")
    if pid[0] == "module":
        return pid[1]
    if pid[0] != "storage" or len(pid) not in (5, 6) or not isinstance(pid[2], str):
        raise WeightsError("a persistent id is of no known form: the file is damaged")
    storage = make(storage_dtype(pid[1]), pid[2], pid[4])
    view = pid[5] if len(pid) == 6 else None
    return storage.part(*view[1:]) if isinstance(view, tuple) and len(view) == 3 else storage
