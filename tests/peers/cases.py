"""Random cases of convolution and pooling, in NumPy alone: cnn_jax and its peers read the same ones.

The pixels of padding are worked out here by the peers' documented rules, not by cnn_jax's.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

Results = dict[str, dict[str, np.ndarray]]
Pads = tuple[int, int]

KINDS = ("conv", "stage", "max_pool", "min_pool", "avg_pool")
BORDERS = {"REFLECT": "reflect", "REPLICATE": "replicate", "CIRCULAR": "circular"}
_WHOLE = ("SAME", "SAME_LOWER", "VALID", "TORCH", "integer", "pads")


@dataclasses.dataclass(frozen=True)
class Case:
    """One call, and the cotangent that its gradients are taken for.

    Attributes:
      kind: One of KINDS; a stage is convolution, bias, ReLU and 2x2 max pooling.
      window: taps of kernel or pooling window.
      strides, padding, dilation, groups, count_include_pad: as cnn_jax takes them.
      pads: the pixels that this padding adds, ((top, bottom), (left, right)).
      arrays: x [b, h, w, c]; kernel [kh, kw, c / groups, o] and bias [o] where there are such; cotangent, of the
        output's shape. All float32.
    """

    kind: str
    window: tuple[int, int]
    strides: tuple[int, int]
    padding: str | int | tuple[Pads, Pads]
    pads: tuple[Pads, Pads]
    dilation: tuple[int, int]
    groups: int
    count_include_pad: bool
    arrays: dict[str, np.ndarray]

    def __str__(self) -> str:
        shapes = {name: array.shape for name, array in self.arrays.items()}
        options = {each.name: getattr(self, each.name) for each in dataclasses.fields(self) if each.name != "arrays"}
        return f"{options} {shapes}"


def generate(seed: int, count: int, small: bool = False) -> list[Case]:
    """Draws cases of all kinds in turn, half of them convolutions.

    Args:
      seed: gives the same cases again.
      count: how many.
      small: images of at most 12 pixels and few channels, for a file.
    """
    rng = np.random.default_rng(seed)
    four = ("conv", "avg_pool", "conv", "max_pool")
    turns = (*four, *four, "conv", "avg_pool", "conv", "stage")
    cases = [_draw(rng, turns[number % len(turns)], small) for number in range(count)]
    minimum = (number for number, case in enumerate(cases) if case.kind == "max_pool")
    for number in list(minimum)[::4]:
        cases[number] = dataclasses.replace(cases[number], kind="min_pool")
    return cases


def large(seed: int) -> Iterator[Case]:
    """Cases of more than the cache holds, so that the batch is worked on in parts, by each way there is to do so."""
    rng = np.random.default_rng(seed)
    for kind, shape, window, features in (
        ("conv", (12, 40, 38, 16), (5, 5), 8),
        ("conv", (18, 39, 38, 32), (3, 3), 32),
        ("stage", (40, 39, 40, 3), (3, 3), 64),
        ("stage", (18, 40, 37, 32), (3, 3), 32),
    ):
        yield _filled(rng, kind, shape, window, (1, 1), "SAME", (1, 1), 1, features)


def _draw(rng: np.random.Generator, kind: str, small: bool) -> Case:
    while True:
        size = _pair(rng, 1, 12 if small else 40, spread=True)
        if size[0] == size[1]:
            continue
        if kind.endswith("pool"):
            window, strides, dilation = _pair(rng, 1, 5), _pair(rng, 1, 5), (1, 1)
            groups, channels, features = 1, int(rng.integers(1, 5)), 0
            padding = _padding(rng, _WHOLE)
        else:
            window, strides, dilation, groups, channels, features = _convolution(rng, kind, small)
            padding = _padding(rng, (*_WHOLE, *BORDERS))
        pads = pixels(padding, size, window, strides, dilation)
        if kind.endswith("pool") and any(max(sides) >= span for sides, span in zip(pads, window, strict=True)):
            continue  # windows that lie in the padding have no largest value
        limits = {"REFLECT": (size[0] - 1, size[1] - 1), "CIRCULAR": size}.get(str(padding), (99, 99))
        if any(max(sides) > limit for sides, limit in zip(pads, limits, strict=True)):
            continue
        outputs = _outputs(size, window, strides, pads, dilation)
        if min(outputs) < (2 if kind == "stage" else 1):
            continue
        values = max(size[0] * size[1] * channels, outputs[0] * outputs[1] * features)
        batch = min(int(rng.integers(1, 4)), (300 if small else 24_000) // values)
        if batch:
            return _filled(rng, kind, (batch, *size, channels), window, strides, padding, dilation, groups, features)


def _convolution(rng: np.random.Generator, kind: str, small: bool) -> tuple[Any, ...]:
    """Window, strides, dilation, groups, input channels and features."""
    if kind == "stage" or rng.random() < 0.25:  # stride 1, as most networks have it
        window = (3, 3) if rng.random() < 0.6 else _pair(rng, 1, 5)
        channels, features = (int(each) for each in rng.integers(1, 5 if small else 20, 2))
        return window, (1, 1), (1, 1), 1, channels, features
    window, strides = _pair(rng, 1, 5), _pair(rng, 1, 5)
    if rng.random() < 0.3:
        strides = (1, 1)
    elif rng.random() < 0.3:
        strides = (strides[0], strides[0])
    dilation = _pair(rng, 1, 3) if rng.random() < 0.5 else (1, 1)
    way = rng.random()
    if way < 0.5:
        groups, channels, features = 1, int(rng.integers(1, 7)), int(rng.integers(1, 7))
    elif way < 0.75:
        groups = int(rng.integers(2, 5))
        channels, features = groups * int(rng.integers(1, 4)), groups * int(rng.integers(1, 4))
    else:  # depthwise
        groups = channels = int(rng.integers(2, 9))
        features = channels * int(rng.integers(1, 4))
    return window, strides, dilation, groups, channels, features


def _pair(rng: np.random.Generator, least: int, most: int, spread: bool = False) -> tuple[int, int]:
    """Two numbers; spread, small ones come as often as large ones."""
    if spread:
        first, second = np.exp(rng.uniform(np.log(least), np.log(most + 1), 2))
    else:
        first, second = rng.integers(least, most + 1, 2)
    return int(first), int(second)


def _padding(rng: np.random.Generator, ways: Sequence[str]) -> str | int | tuple[Pads, Pads]:
    way = ways[rng.integers(len(ways))]
    if way == "integer":
        return int(rng.integers(0, 4))
    return (_pair(rng, 0, 4), _pair(rng, 0, 4)) if way == "pads" else way


def pixels(padding: Any, size: Any, window: Any, strides: Any, dilation: Any) -> tuple[Pads, Pads]:
    """The pixels that a padding adds, by the peers' rules.

    Source: the notes on padding in TensorFlow's `tf.nn`; for TORCH, the padding of torchvision's models.
    """
    if isinstance(padding, int):
        return (padding, padding), (padding, padding)
    if not isinstance(padding, str):
        return padding
    first, second = (_sides(padding, *axis) for axis in zip(size, window, strides, dilation, strict=True))
    return first, second


def _sides(padding: str, n: int, k: int, s: int, d: int) -> Pads:
    span = (k - 1) * d + 1
    if padding == "VALID":
        return 0, 0
    if padding == "TORCH":
        return (span - 1) // 2, (span - 1) // 2
    total = max(span - s, 0) if n % s == 0 else max(span - n % s, 0)
    less = total // 2
    return (total - less, less) if padding == "SAME_LOWER" else (less, total - less)


def _outputs(size: Any, window: Any, strides: Any, pads: Any, dilation: Any) -> tuple[int, int]:
    """Counts the places where a window fits."""
    axes = zip(size, window, strides, pads, dilation, strict=True)
    rows, columns = (len(range(0, n + low + high - (k - 1) * d, s)) for n, k, s, (low, high), d in axes)
    return rows, columns


def _filled(
    rng: np.random.Generator,
    kind: str,
    shape: tuple[int, int, int, int],
    window: tuple[int, int],
    strides: tuple[int, int],
    padding: Any,
    dilation: tuple[int, int],
    groups: int,
    features: int,
) -> Case:
    pads = pixels(padding, shape[1:3], window, strides, dilation)
    rows, columns = _outputs(shape[1:3], window, strides, pads, dilation)
    shapes = {"x": shape}
    if kind in ("conv", "stage"):
        shapes["kernel"] = (*window, shape[3] // groups, features)
    if kind == "stage":
        shapes["bias"] = (features,)
        rows, columns = rows // 2, columns // 2
    shapes["cotangent"] = (shape[0], rows, columns, features or shape[3])
    # Which of several values is the largest must not hang on rounding: sums of a stage are of small integers, exact
    # in float32 however they are computed. The integers also make ties, whose gradient goes to the first.
    whole = kind == "stage" or (kind == "max_pool" and rng.random() < 0.5)
    draw = (lambda shape: rng.integers(-3, 4, shape)) if whole else rng.standard_normal
    arrays = {name: np.asarray(draw(shape), np.float32) for name, shape in shapes.items()}
    include = bool(kind == "avg_pool" and rng.random() < 0.5)
    return Case(kind, window, strides, padding, pads, dilation, groups, include, arrays)


def save(path: Path, cases: Sequence[Case], results: Sequence[Results] | None = None) -> None:
    """Writes cases, with the peers' results where they are there, as one compressed .npz."""
    arrays: dict[str, np.ndarray] = {}
    options = []
    for number, case in enumerate(cases):
        options.append({each.name: getattr(case, each.name) for each in dataclasses.fields(case)} | {"arrays": None})
        arrays |= {f"{number}/{name}": array for name, array in case.arrays.items()}
        for peer, outcome in (results[number] if results else {}).items():
            arrays |= {f"{number}/{peer}/{name}": array for name, array in outcome.items()}
    np.savez_compressed(path, cases=np.array(json.dumps(options)), **arrays)


def load(path: Path) -> tuple[list[Case], list[Results]]:
    """Reads what `save` wrote: the cases, and for each the results by peer."""
    with np.load(path) as file:
        options = json.loads(str(file["cases"]))
        arrays: list[dict[str, np.ndarray]] = [{} for _ in options]
        results: list[Results] = [{} for _ in options]
        for key in file.files:
            number, *rest = key.split("/")
            if len(rest) == 1:
                arrays[int(number)][rest[0]] = file[key]
            elif rest:
                results[int(number)].setdefault(rest[0], {})[rest[1]] = file[key]
    cases = [
        Case(**{k: _tuples(v) for k, v in each.items()} | {"arrays": own})
        for each, own in zip(options, arrays, strict=True)
    ]
    return cases, results


def _tuples(value: Any) -> Any:
    return tuple(map(_tuples, value)) if isinstance(value, list) else value
