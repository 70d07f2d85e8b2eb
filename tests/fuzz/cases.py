"""Random experiments, legal and bad, drawn from the fields that the config declares, so that new ones are covered."""

from __future__ import annotations

import copy
import math
import random
import types
import typing
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import annotated_types
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from cnn_jax.config import Experiment
from cnn_jax.config.fields import default_variant, section_of, variants_of
from cnn_jax.config.parsing import ConfigError, parse

Tree = dict[str, Any]
Sources = Mapping[str, Tree]

STEPS = 2  # of every legal experiment
_SET = 0.35  # share of the fields that are drawn; the others keep their defaults
_WIDTHS = (1, 2, 2, 4, 12)  # of the ranges, from the least legal one on, that whole numbers are drawn from
_TRIES = 200
# Values of fields with which the deeper networks compile quickly.
_MOBILE = {"blocks": ((1, 0, 0, 0, 0, 0, 0), (1, 1, 0, 0, 0, 1, 0), (0, 2, 1, 0, 0, 0, 0)), "width": (0.1, 0.2)}
_SHORT: dict[str, dict[str, tuple[Any, ...]]] = {
    "vgg": {"depth": (11, 11, 13), "width": (0.01, 0.05), "dense": ((8,), ())},
    "zfnet": {"features": ((2, 3, 2, 4, 2), (4, 4, 4, 4, 8)), "dense": ((8,), ())},
    "inception_v3": {"modules": ((0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1)), "width": (0.02, 0.1)},
    "densenet": {"blocks": ((1,), (2, 1), (0, 2), (1, 1, 1))},
    "mobilenet_v2": _MOBILE,
    "mobilenet_v3_large": {"modules": (0, 1, 4), "width": (0.1, 0.2)},
    "mobilenet_v3_small": {"modules": (0, 1, 4), "width": (0.1, 0.2)},
    "efficientnet": _MOBILE,
    "convnext": {"blocks": ((1, 0, 0, 0), (0, 1, 1, 0), (0, 0, 0, 2)), "features": ((2, 3, 4, 4), (8, 4, 8, 4))},
}


def legal(seed: int, number: int, sources: Sources) -> Tree:
    """Draws an experiment that `parse` accepts, of two steps on tiny data.

    Args:
      seed: Seed of all cases.
      number: Number of the case; networks take turns.
      sources: The section `data` of tiny data sets, by name.
    """
    draw = random.Random(f"{seed}/legal/{number}")
    networks = list(variants_of(Experiment.model_fields["model"]))
    for _ in range(_TRIES):
        tree = _section_values(draw, Experiment, ())
        network = networks[number % len(networks)]
        tree["model"] = _variant_values(draw, Experiment.model_fields["model"], ("model",), network)
        source = sources[draw.choice(list(sources))]
        data = _variant_values(draw, Experiment.model_fields["data"], ("data",), source["name"])
        tree["data"] = data | {"test_examples": 4} | source
        _shorten(draw, tree)
        if (found := _repaired(draw, tree)) is not None:
            return found
    raise AssertionError(f"no legal experiment in {_TRIES} tries: {tree}")


def _shorten(draw: random.Random, tree: Tree) -> None:
    """Makes a training of two steps of an experiment."""
    train = tree.setdefault("train", {})
    batch = draw.choice((1, 2, 3, 4, 6))
    one_epoch = draw.random() < 0.5
    train |= {"batch_size": batch, "epochs": 1 if one_epoch else STEPS, "eval_batch_size": draw.choice((1, 4, 500))}
    tree["data"]["train_examples"] = batch * STEPS if one_epoch else batch
    tree["data"]["validation_fraction"] = 0.0
    model = tree["model"]
    if model.get("norm_momentum", 0.9) < 0.5:
        # The statistics of one batch of a few pixels have variances of zero, and evaluating by them overflows.
        model["norm_momentum"] += 0.5
    if model["name"] == "resnet":
        model["depth"] = draw.choice((18, 18, 18, 50))
    if model["name"] == "resnet_cifar":
        model["depth"] = draw.choice((8, 8, 16, 20))
    if model["name"].startswith("squeezenet"):
        model["modules"] = draw.choice((0, 1, 2, 4))
    if model["name"].startswith("googlenet"):
        model["modules"] = draw.choice(((1, 1, 1), (0, 2, 0), (1, 2, 2), (2, 0, 1), (0, 0, 0)))
    for field, choices in _SHORT.get(model["name"], {}).items():
        model[field] = draw.choice(choices)


def _repaired(draw: random.Random, tree: Tree) -> Tree | None:
    """Takes fields out of an experiment until it is legal; None where that does not help."""
    for _ in range(12):
        try:
            parse(tree)
        except ConfigError as error:
            named = [
                path for path in _leaves(tree) if any("config." + ".".join(path) in fault for fault in error.faults)
            ]
            named = [path for path in named if path[-1] not in ("name", "batch_size", "epochs", "train_examples")]
            if not named:
                return None
            path = draw.choice(named)
            del _at(tree, path[:-1])[path[-1]]
        else:
            return tree
    return None


# --- legal values of a field ---------------------------------------------------------------------------


def _section_values(
    draw: random.Random, model: type[BaseModel], path: tuple[str, ...], name: str | None = None
) -> Tree:
    values: Tree = {} if name is None else {"name": name}
    for key, field in model.model_fields.items():
        if key == "name":
            continue
        if variants := variants_of(field):
            values[key] = _variant_values(draw, field, (*path, key), draw.choice(list(variants)))
        elif section := section_of(field):
            values[key] = _section_values(draw, section, (*path, key))
        elif draw.random() < _SET and (choices := list(_values(draw, field.annotation, field.metadata))):
            values[key] = draw.choice(choices)
    return values


def _variant_values(draw: random.Random, field: FieldInfo, path: tuple[str, ...], name: str) -> Tree:
    return _section_values(draw, variants_of(field)[name], path, name)


def _values(draw: random.Random, annotation: Any, metadata: typing.Iterable[Any] = ()) -> Iterator[Any]:
    """Gives some legal values of a type; none for text, which names files."""
    origin, args = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Annotated:
        yield from _values(draw, args[0], [*args[1:], *metadata])
    elif origin is typing.Literal:
        yield from args
    elif origin in (typing.Union, types.UnionType):
        for each in args:
            yield from _values(draw, each)
    elif origin is tuple and args[-1] is Ellipsis:
        least = bounds(metadata).get("min_length", 0)
        entries = [list(_values(draw, args[0])) for _ in range(draw.randint(least, max(least, 3)))]
        if all(entries):
            yield tuple(draw.choice(each) for each in entries)
    elif origin is tuple:
        entries = [list(_values(draw, each)) for each in args]
        if all(entries):
            yield tuple(draw.choice(each) for each in entries)
    elif annotation is type(None):
        yield None
    elif annotation is bool:
        yield from (False, True)
    elif annotation in (int, float):
        yield _number(draw, annotation, bounds(metadata))


def _number(draw: random.Random, kind: type[int] | type[float], limits: Mapping[str, Any]) -> int | float:
    """Draws a number within its limits, a small one as a rule."""
    least = limits.get("ge", limits.get("gt", 0))
    most = limits.get("le", limits.get("lt", math.inf))
    if most < least:  # bounded from above alone
        least = most - draw.choice(_WIDTHS)
    if kind is int:
        low, high = math.ceil(least) + ("gt" in limits), min(most - ("lt" in limits), least + draw.choice(_WIDTHS))
        return draw.randint(low, int(high))
    if least > 0 and most / least > 1e6:  # a rate: of the usual size, so that training does not diverge
        return float(10 ** draw.uniform(-4, -2))
    inside = least + (min(most, 2.0) - least) * draw.uniform(0.01, 0.99)
    ends = [float(limits[end]) for end in ("ge", "le") if end in limits and limits[end] <= 1]
    return draw.choice([inside, inside, inside, *ends])


def bounds(metadata: typing.Iterable[Any]) -> dict[str, Any]:
    """Gives the limits among a field's metadata, by their names in annotated_types."""
    found: dict[str, Any] = {}
    for entry in metadata:
        if isinstance(entry, FieldInfo):
            found |= bounds(entry.metadata)
        elif isinstance(entry, annotated_types.BaseMetadata):
            for name in ("ge", "gt", "le", "lt", "min_length", "max_length"):
                if getattr(entry, name, None) is not None:
                    found[name] = getattr(entry, name)
    return found


# --- bad experiments ---------------------------------------------------------------------------------


NONSENSE: tuple[Any, ...] = (
    *(
        None,
        True,
        -1,
        0,
        1.5,
        -0.0,
        10**30,
        -(10**30),
        2**31,
        1e300,
        -1e300,
        1e-300,
        1e39,
        math.inf,
        -math.inf,
        math.nan,
    ),
    *("", "word", "none", "\0", "a" * 300, "\N{SNOWMAN}", "../..", "~nosuchuser", "nan", "1", (), (1,), (1, "a")),
    *(((),), (None,), {}, {"name": 1}, {"name": None}, {"a": {"b": 1}}, ((1, 2), (3, -4)), (1,) * 2000),
)
# Words of a command line, with {config} for an experiment file that is right.
NONSENSE_WORDS = (
    *("--noreport=none", "--noprofile=none", "--profile=maybe", "--config.seed={{}}", "--config.seed={{1}: 2}"),
    *("--config.seed=" + "-" * 5000 + "1", "--config.seed=" + "(" * 500, "--config.seed=" + "9" * 5000, "--config."),
    *(
        "--config.=1",
        "--config..=1",
        "--config.train.=1",
        "--config.train..epochs=1",
        "--=",
        "--",
        "---",
        "-x",
        "extra",
    ),
    *("--config.seed", "--config.seed=", "--config.seed=1_if", "--config.seed=lambda:1", "--config.seed=[1][0]"),
    *("--config.seed=f'{1}'", "--config.seed=1j", "--config.seed=b'1'", "--config.seed=...", "--config.seed='\\d'"),
    *("--config.data=1", "--config.model=cnn", "--config.model={'name': []}", "--config.train={}", "--config.train=()"),
    *("--config.train.epochs.more=1", "--config." + "a." * 2000 + "a=1", "--config.train.epochs=10**10"),
    *("--config.train.epochs=10000000000", "--config.model.name=[]", "--config.model.name={}", "--config.seed=1_0_"),
    *("--workdir=~nosuchuser/x", "--workdir=" + "a" * 300, "--workdir=\0", "--data_dir=\0", "--distributed=explicit"),
    *("--process_id=1", "--distributed=explicit --coordinator=a --num_processes=1 --process_id=0", "--distributed="),
    *("--config={config}.none", "--config=/", "--config=.", "--config=/dev/null", "--config=" + "a" * 300 + ".py"),
    *("--format=json", "--jobs=1", "--images=x", "--seed=1", "--CONFIG.seed=1", "--config.SEED=1", "train", "eval"),
)


def bad(seed: int, number: int, sources: Sources) -> tuple[Tree, list[str]]:
    """Makes a bad experiment of a legal one.

    Args:
      seed: Seed of all cases.
      number: Number of the case.
      sources: As for `legal`.

    Returns:
      The experiment, and further words of the command line. A change may happen to be legal.
    """
    draw = random.Random(f"{seed}/bad/{number}")
    original = legal(seed, number, sources)
    if number % 5 == 4:
        return original, draw.choice(NONSENSE_WORDS).split(" ") if draw.random() < 0.8 else ["--" + _noise(draw)]
    while True:
        tree = copy.deepcopy(original)
        for _ in range(draw.choice((1, 1, 2, 5))):
            draw.choice(_MUTATIONS)(draw, tree)
        if not _is_costly(tree, original):
            return tree, []


def _is_costly(tree: Tree, original: Tree) -> bool:
    """Tells whether a change has made a legal training that is long, as on the default data set, or diverges."""
    try:
        if parse(tree).optimizer.learning_rate > 1:
            return True
    except ConfigError:
        return False
    length = (("data", "name"), ("data", "train_examples"), ("train", "epochs"), ("train", "batch_size"))
    return any(_at(original, path) != tree.get(path[0], {}).get(path[1]) for path in length)


def _noise(draw: random.Random) -> str:
    return "".join(draw.choice("abc.=-_'\"()[]{}\\0123 \n\t,") for _ in range(draw.randint(1, 40)))


def _wrong_value(draw: random.Random, tree: Tree) -> None:
    path = draw.choice(list(_leaves(tree)))
    _at(tree, path[:-1])[path[-1]] = draw.choice(NONSENSE)


def _wrong_field(draw: random.Random, tree: Tree) -> None:
    """Sets a field that is not set, so that every field has its turn, to nonsense."""
    section, name, _ = draw.choice(list(_declared(tree)))
    _at(tree, section)[name] = draw.choice(NONSENSE)


def _out_of_range(draw: random.Random, tree: Tree) -> None:
    ranged = [(path, name, limits) for path, name, field in _declared(tree) if (limits := _all_bounds(field))]
    path, name, limits = draw.choice(ranged)
    end = draw.choice(list(limits))
    value = limits[end]
    beyond: dict[str, Any] = {"ge": value - 1, "gt": value, "le": value + max(1, value), "lt": value}
    _at(tree, path)[name] = beyond[end] if end in beyond else (1,) * (value - 1 if end == "min_length" else value + 1)


def _unknown_name(draw: random.Random, tree: Tree) -> None:
    path, name, _ = draw.choice(list(_declared(tree)))
    _at(tree, path)[_misspelt(draw, name)] = 1


def _unknown_word(draw: random.Random, tree: Tree) -> None:
    worded = [path for path in _leaves(tree) if isinstance(_at(tree, path), str)]
    path = draw.choice(worded)
    _at(tree, path[:-1])[path[-1]] = _misspelt(draw, _at(tree, path))


def _wrong_section(draw: random.Random, tree: Tree) -> None:
    tree[draw.choice(list(Experiment.model_fields))] = draw.choice(NONSENSE)


def _missing(draw: random.Random, tree: Tree) -> None:
    tree["data"].pop(draw.choice(list(tree["data"])))


_MUTATIONS: tuple[Callable[[random.Random, Tree], None], ...] = (
    *(_wrong_value, _wrong_field, _wrong_field, _out_of_range, _out_of_range),
    *(_unknown_name, _unknown_word, _wrong_section, _missing),
)


def _misspelt(draw: random.Random, word: str) -> str:
    place = draw.randint(0, len(word))
    return word[:place] + draw.choice("xyz_-. ") + word[place + draw.randint(0, 1) :]


def _declared(tree: Tree) -> Iterator[tuple[tuple[str, ...], str, FieldInfo]]:
    """Lists the fields of an experiment's sections: their section's path, their name and declaration."""
    for key, field in Experiment.model_fields.items():
        section = tree.get(key)
        model = section_of(field)
        if variants := variants_of(field):
            name = section.get("name", default_variant(field)) if isinstance(section, dict) else ""
            model = variants.get(name) if isinstance(name, str) else None
        if model is None:
            yield (), key, field
        elif isinstance(tree.setdefault(key, {}), dict):
            yield from (((key,), name, each) for name, each in model.model_fields.items() if name != "name")


def _all_bounds(field: FieldInfo) -> dict[str, Any]:
    def collect(annotation: Any, metadata: typing.Iterable[Any]) -> dict[str, Any]:
        found = bounds(metadata)
        args = typing.get_args(annotation)
        if typing.get_origin(annotation) is typing.Annotated:
            return found | collect(args[0], args[1:])
        if typing.get_origin(annotation) in (typing.Union, types.UnionType):
            for each in args:
                found |= collect(each, ())
        return found

    return collect(field.annotation, field.metadata)


def _leaves(tree: Tree, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for key, value in tree.items():
        if isinstance(value, dict) and value:
            yield from _leaves(value, (*path, key))
        else:
            yield (*path, key)


def _at(tree: Any, path: tuple[str, ...]) -> Any:
    for part in path:
        tree = tree[part]
    return tree
