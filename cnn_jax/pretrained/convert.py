"""Between torchvision's or timm's entries and our variables: names, axes, and the order of flattened maps.

PyTorch keeps kernels as [out, in, height, width] and dense weights as [out, in], and flattens maps channels first;
ours are [height, width, in, out], [in, out] and channels last.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import numpy as np

from cnn_jax import models
from cnn_jax.config import Model as ModelConfig
from cnn_jax.pretrained.errors import WeightsError
from cnn_jax.pretrained.name_scheme import Kept, Names
from cnn_jax.pretrained.names import AVERAGED, COUNTER, ENTRY_NAMES, NAMES
from cnn_jax.pretrained.tensors import Unread
from cnn_jax.words import by

# Sides of an image: dense layers that follow maps average them down to one size before, so that any large one does.
_SIDES = {"inception_v3": 299}
_SIDE = 224


class _Entry(NamedTuple):
    """Where one array stands.

    Attributes:
      path: Path in our variables, the collection first.
      shape: Ours.
      maps: (height, width, channels) that a dense kernel's inputs were flattened from; None for others.
      kept: How the library keeps it, where it differs from what ours is.
    """

    path: tuple[str, ...]
    shape: tuple[int, ...]
    maps: tuple[int, int, int] | None
    kept: Kept | None = None


def from_torch(
    state_dict: Mapping[str, Any], model_config: ModelConfig, *, with_logits: bool = True
) -> models.Variables:
    """Turns torchvision's (or timm's) entries into a network's variables.

    torchvision's GoogLeNet was trained on pixels in -1 to 1 (its `transform_input`), the other networks on pixels
    standardised by ImageNet's channels.

    Args:
      state_dict: PyTorch's names to arrays, or to tensors in the processor's memory.
      model_config: Config of one of the networks in NAMES; its fields must give the layers that the weights were
        trained with. The number of classes and of image channels is the weights' own.
      with_logits: False leaves out the layers that make logits, which the weights may then lack.

    Returns:
      {"params": ..., "batch_stats": ...} of float32 arrays.

    Raises:
      WeightsError: where entries are missing, left over, of another shape or type, or not finite; all are listed.
    """
    names = _names_of(state_dict, model_config)
    given = {
        names.today(name): value
        for name, value in state_dict.items()
        if not name.endswith(COUNTER) and name != AVERAGED
    }
    arrays = _as_arrays(given)
    entries = _entries(model_config, names, *_classes_and_channels(arrays, model_config, names))
    if not with_logits:
        heads = tuple(f"{name.rpartition('.')[0]}." for name, entry in entries.items() if "logits" in entry.path)
        entries = {name: entry for name, entry in entries.items() if not name.startswith(heads)}
        arrays = {name: array for name, array in arrays.items() if not name.startswith(heads)}
    missing = [
        f"{name} ({value.kind}{value.fix and '; save it with ' + value.fix})" if isinstance(value, Unread) else name
        for name, value in ((name, given.get(name)) for name in entries if name not in arrays)
    ]
    found = {name: arrays[name] for name in entries if name in arrays}
    lists = {
        "missing": missing,
        "left over": [name for name in arrays if name not in entries],
        "misshapen": [
            f"{name} is {_by(array.shape)}, the network's is {_by(_torch_shape(entries[name]))}"
            for name, array in found.items()
            if not _fits(array.shape, entries[name])
        ],
        "of another type than floating-point numbers": [
            f"{name} is {array.dtype}" for name, array in found.items() if not _is_floating(array)
        ],
    }
    if not any(lists.values()):
        found = {name: _as_float32(array) for name, array in found.items()}
        lists["not finite"] = [name for name, array in found.items() if not np.isfinite(array).all()]
    if any(lists.values()):
        hint = ""
        if any(name.lower().startswith("aux") for name in lists["left over"]):
            hint = "\nconfig.model.aux_heads=true takes the auxiliary classifiers"
        elif missing and all(entries[name].path[1].startswith("aux") for name in entries if name not in arrays):
            hint = "\nconfig.model.aux_heads=false does without the auxiliary classifiers"
        elif missing and all("logits" in entries[name].path for name in entries if name not in arrays):
            hint = "\nconfig.pretrained.head=new draws the last layer, which the file need not have then"
        raise WeightsError(
            f"the weights do not fit config.model.name={model_config.name}:\n"
            + "\n".join(f"{len(names)} {what}: {', '.join(names)}" for what, names in lists.items() if names)
            + hint
        )
    variables: dict[str, Any] = {"params": {}, "batch_stats": {}}
    for name, entry in entries.items():
        node = variables
        for key in entry.path[:-1]:
            node = node.setdefault(key, {})
        node[entry.path[-1]] = _to_ours(found[name], entry)
    return variables if variables["batch_stats"] else {"params": variables["params"]}


def _as_arrays(state_dict: Mapping[str, Any]) -> dict[str, np.ndarray]:
    return {name: np.asarray(value) for name, value in state_dict.items() if not isinstance(value, Unread)}


def _is_floating(array: np.ndarray) -> bool:
    return bool(jax.numpy.issubdtype(array.dtype, jax.numpy.floating))


def _as_float32(array: np.ndarray) -> np.ndarray:
    with np.errstate(over="ignore"):  # infinite ones are refused
        return array.astype(np.float32)


def adapted(state_dict: Mapping[str, Any], model_config: ModelConfig, channels: int) -> dict[str, Any]:
    """Fits the first convolution's kernel to images of another number of channels.

    Args:
      state_dict: PyTorch's names to arrays.
      model_config: As `from_torch` takes it.
      channels: Channels of the images. One is given the sum over the weights' channels, which answers a grey image as
        the weights answer it in RGB.

    Returns:
      The entries, that kernel replaced where the numbers differ.

    Raises:
      WeightsError: where the images have neither one channel nor the weights' number.
    """
    names, arrays = _names_of(state_dict, model_config), _as_arrays(state_dict)
    _, expected = _classes_and_channels(arrays, model_config, names)
    name = _first_kernel(model_config, names)
    kernel = arrays.get(name)
    if channels == expected or kernel is None or kernel.ndim != 4 or not kernel.size or not _is_floating(kernel):
        return dict(state_dict)  # what is wrong with it, `from_torch` says
    if channels != 1:
        raise WeightsError(f"the images have {channels} channels, the weights take {expected}, or grey images")
    return {**state_dict, name: _as_float32(kernel).sum(axis=1, keepdims=True)}


def to_torch(
    variables: models.Variables, model_config: ModelConfig, library: str = "torchvision"
) -> dict[str, np.ndarray]:
    """Turns a network's variables into torchvision's or timm's entries, `from_torch` the other way.

    Args:
      variables: Variables of the network.
      model_config: As `from_torch` takes it.
      library: Library whose names and layouts the entries have, "torchvision" or "timm".

    Returns:
      PyTorch's names to arrays, float32 but for the counters of batches beside running statistics, which are 0.

    Raises:
      WeightsError: where the library has no such network.
    """
    leaves = {_keys(path): np.asarray(leaf) for path, leaf in jax.tree_util.tree_leaves_with_path(variables)}
    schemes = _schemes(model_config)
    names = next((each for each in schemes if library in each.library.split(" and ")), None)
    if names is None:
        raise WeightsError(
            f"library={library!r}: config.model.name={model_config.name} has names of "
            f"{', '.join(each.library for each in schemes)}"
        )
    channels = leaves["params", names.first, "kernel"].shape[2]
    classes = leaves["params", "head", "logits", "bias"].shape[0]
    state_dict: dict[str, np.ndarray] = {}
    for name, entry in _entries(model_config, names, classes, channels).items():
        state_dict[name] = _to_torch(leaves[entry.path], entry)
        if entry.path[-1] == "variance":
            state_dict[name.replace(ENTRY_NAMES["variance"], f".{COUNTER}")] = np.zeros((), np.int64)
    return state_dict


class Origin(NamedTuple):
    """Origin of weights.

    Attributes:
      library: Library whose names they have; "torchvision" where timm has the same.
      classes, channels: Number of classes and of image channels.
    """

    library: str
    classes: int
    channels: int


def origin_of(state_dict: Mapping[str, Any], model_config: ModelConfig) -> Origin:
    """Reads off entries where they come from and what they classify.

    Args:
      state_dict, model_config: As `from_torch` takes them.

    Raises:
      WeightsError: where there are no published weights for the network.
    """
    names = _names_of(state_dict, model_config)
    classes, channels = _classes_and_channels(_as_arrays(state_dict), model_config, names)
    return Origin(names.library.split(" and ")[0], classes, channels)


def _schemes(config: ModelConfig) -> tuple[Names, ...]:
    if config.name not in NAMES:
        raise _unpublished(config)
    return NAMES[config.name]


def _names_of(state_dict: Mapping[str, Any], config: ModelConfig) -> Names:
    """The names that most of the entries have; torchvision's where it is even."""
    schemes = _schemes(config)
    if len(schemes) == 1:
        return schemes[0]
    return max(schemes, key=lambda names: len(_entries(config, names, 1000, 3).keys() & state_dict.keys()))


def _classes_and_channels(arrays: Mapping[str, np.ndarray], config: ModelConfig, names: Names) -> tuple[int, int]:
    """Read off the first and the last layer; ImageNet's where these are missing."""
    last = arrays.get(f"{names.layer(config, ('head', 'logits'))}.weight")
    first = arrays.get(_first_kernel(config, names))
    return (
        1000 if last is None or last.ndim not in (2, 4) or not last.size else last.shape[0],
        3 if first is None or first.ndim != 4 or not first.size else first.shape[1],
    )


def _first_kernel(config: ModelConfig, names: Names) -> str:
    return f"{names.layer(config, (names.first,))}.weight"


def _unpublished(config: ModelConfig) -> WeightsError:
    return WeightsError(
        f"config.model.name={config.name}: there are no published weights for it, only for {', '.join(NAMES)}"
    )


def _entries(config: ModelConfig, names: Names, num_classes: int, channels: int) -> dict[str, _Entry]:
    """All arrays of a network, by a library's names."""
    model = models.create(config, num_classes)
    side = _SIDES.get(config.name, _SIDE)
    image_shape = (side, side, channels)
    flattened = {row.name: row.input_shape for row in model.layers(image_shape) if row.kind == "flatten"}
    variables = model.variable_shapes(image_shape)
    entries, unknown = {}, []
    for keys, leaf in jax.tree_util.tree_leaves_with_path(variables):
        path = _keys(keys)
        layer, entry_name = path[1:-1], path[-1]
        torch_layer = names.layer(config, layer)
        if torch_layer is None:
            unknown.append("/".join(layer))
            continue
        maps = flattened.get("/".join((*layer[:-1], "flatten"))) if layer[-1] == "dense1" else None
        entries[f"{torch_layer}{ENTRY_NAMES[entry_name]}"] = _Entry(
            path,
            leaf.shape,
            (maps[0], maps[1], maps[2]) if maps and entry_name == "kernel" else None,
            names.kept.get(layer[-1]) if entry_name in ("kernel", "gamma") else None,
        )
    if unknown:
        raise WeightsError(
            f"config.model.name={config.name}: {names.library} has no layers "
            f"{', '.join(dict.fromkeys(unknown))}; set the config's fields as published, the defaults"
        )
    return entries


def _keys(path: tuple[Any, ...]) -> tuple[str, ...]:
    return tuple(str(key.key) for key in path)


def _torch_shape(entry: _Entry) -> tuple[int, ...]:
    """The shape that the library keeps an array in."""
    shape = entry.shape
    match entry.kept:
        case "factors":
            return (*shape, 1, 1)
        case "dense":  # a 1x1 convolution
            return shape[:1:-1]
        case "conv":
            height, width, channels = entry.maps or (1, 1, shape[0])
            return (shape[1], channels, height, width)
    return (shape[3], shape[2], *shape[:2]) if len(shape) == 4 else shape[::-1]


def _fits(shape: tuple[int, ...], entry: _Entry) -> bool:
    """Whether an array has the library's shape, but for axes of one place at its end."""
    expected = _torch_shape(entry)
    least = min(len(shape), len(expected))
    return shape[:least] == expected[:least] and set(shape[least:] + expected[least:]) <= {1}


def _to_ours(array: np.ndarray, entry: _Entry) -> np.ndarray:
    array = array.reshape(_torch_shape(entry))
    if entry.maps is not None:
        height, width, channels = entry.maps
        return array.reshape(-1, channels, height, width).transpose(2, 3, 1, 0).reshape(entry.shape)
    if entry.kept is not None:
        return array.T.reshape(entry.shape)
    return array.transpose(2, 3, 1, 0) if array.ndim == 4 else array.T


def _to_torch(array: np.ndarray, entry: _Entry) -> np.ndarray:
    if entry.maps is not None:
        return array.reshape(*entry.maps, -1).transpose(3, 2, 0, 1).reshape(_torch_shape(entry))
    if entry.kept is not None:
        return array.reshape(array.shape[-2:]).T.reshape(_torch_shape(entry))
    return array.transpose(3, 2, 0, 1) if array.ndim == 4 else array.T


def _by(shape: tuple[int, ...]) -> str:
    return by(shape) or "a single number"
