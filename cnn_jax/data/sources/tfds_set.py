"""Data sets that TFDS has prepared as ArrayRecord files, read without TensorFlow."""

from __future__ import annotations

import hashlib
import itertools
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from cnn_jax import config as cfg
from cnn_jax import user_path
from cnn_jax.data.errors import DataError
from cnn_jax.data.sources import file_checksum
from cnn_jax.data.sources.array_records import INFO, ArrayRecords, open_builder
from cnn_jax.data.sources.examples import Source

_NAME = re.compile(r"(?P<name>\w+)(/(?P<config>[^/:\s]+))?(:(?P<version>\d+\.\d+\.\d+))?")
_VERSION = re.compile(r"\d+\.\d+\.\d+")
_TESTS = ("test", "validation")
_KEYS = {"image": (tfds.features.Image, tfds.features.Tensor), "label": (tfds.features.ClassLabel,)}


def open_set(config: cfg.Tfds) -> Source:
    """Opens a prepared data set.

    Args:
      config: Its name or folder, and its splits.

    Raises:
      DataError: If there is none, it is not prepared as ArrayRecord files, or lacks a split or feature; the message has
        the command that prepares it.
    """
    folder = _folder(config)
    field = "config.data.folder" if config.folder is not None else "config.data.dataset"
    builder = _builder(folder, field)
    image, label = (_key(builder, name, getattr(config, name)) for name in ("image", "label"))
    expressions = {"train_split": config.train_split, "validation_split": config.validation_split}
    expressions["test_split"] = config.test_split or next(
        (name for name in _TESTS if name in builder.info.splits), _TESTS[0]
    )
    found = {
        name: _examples(builder, expression, name, image, label)
        for name, expression in expressions.items()
        if expression is not None
    }
    digest = hashlib.sha256(str([(name, each.parts) for name, each in found.items()]).encode())
    files = sorted({file for each in found.values() for file in each.files})
    digest.update(file_checksum.of_files(files, field).encode())
    names = tuple(builder.info.features[label].names)
    digest.update("\0".join(names).encode())
    return Source(
        found["train_split"],
        found.get("validation_split"),
        found["test_split"],
        names,
        digest.hexdigest(),
        _warnings(found, expressions),
    )


def _examples(builder: tfds.core.DatasetBuilder, split: str, field: str, image: str, label: str) -> ArrayRecords:
    """Opens the files of TFDS's expression of a split; errors name the config's field for it."""
    info = builder.info
    try:
        shards = info.splits[split].file_instructions
    except Exception as error:  # TFDS raises whatever its parser of expressions does
        raise DataError(
            f"config.data.{field}: {info.full_name} has no split {split!r}, it has {_counted(info)}; an expression "
            "is such as train, train[:90%] or train+validation"
        ) from error
    try:
        return ArrayRecords(f"{info.full_name}, split {split}", shards, info.features, image, label)
    except DataError as error:
        raise DataError(f"config.data.{field}: {error}") from error


def class_count(config: cfg.Tfds) -> int | None:
    """Reads the number of classes; None where the data set is not here."""
    try:
        builder = _builder(_folder(config), "config.data.dataset")
        return int(builder.info.features[_key(builder, "label", config.label)].num_classes)
    except DataError:
        return None


def _folder(config: cfg.Tfds) -> Path:
    """Finds the folder that has dataset_info.json."""
    if config.folder is not None:
        folder = Path(config.folder).expanduser()
        if not folder.is_dir():
            raise DataError(f"config.data.folder: there is no folder {folder}")
        if not (folder / INFO).is_file():
            inside = sorted(path.parent for path in folder.glob(f"*/{INFO}"))
            hint = f"; name {inside[-1]}" if inside else ""
            raise DataError(f"config.data.folder: {folder} has no {INFO}: TFDS has prepared no data set there{hint}")
        return folder
    assert config.dataset is not None
    if (asked := _NAME.fullmatch(config.dataset)) is None:
        raise DataError(
            f"config.data.dataset: got {config.dataset!r}, expected NAME, NAME/CONFIG or NAME:VERSION, such as "
            "cifar10:3.0.2"
        )
    data_dir = _data_dir(config)
    folder = data_dir / asked["name"]
    if asked["config"] is not None:
        folder /= asked["config"]
    elif folder.is_dir() and not _versions(folder):
        configs = sorted(path.name for path in folder.iterdir() if path.is_dir() and _versions(path))
        if len(configs) > 1:
            raise DataError(
                f"config.data.dataset: {asked['name']} has the configs {', '.join(configs)}; name one, such as "
                f"{asked['name']}/{configs[0]}"
            )
        folder = folder / configs[0] if configs else folder
    versions = _versions(folder)
    if asked["version"] is not None:
        if asked["version"] in versions or not versions:
            versions = [version for version in versions if version == asked["version"]]
        else:
            raise DataError(
                f"config.data.dataset: {folder} has the versions {', '.join(versions)}, and no {asked['version']}; "
                f"name one of them, or prepare it:\n{_how_to_prepare(config.dataset, data_dir)}"
            )
    if not versions:
        raise DataError(
            f"config.data.dataset: {config.dataset} is not prepared in {data_dir}; these commands do so:\n"
            f"{_how_to_prepare(config.dataset, data_dir)}"
        )
    return folder / versions[-1]


def _data_dir(config: cfg.Tfds) -> Path:
    if config.data_dir is not None:
        return Path(config.data_dir).expanduser()
    named = os.environ.get("TFDS_DATA_DIR")
    if named and (fault := user_path.fault_of(named)):
        raise DataError(f"TFDS_DATA_DIR: {fault}")
    return Path(named or "~/tensorflow_datasets").expanduser()


def _versions(folder: Path) -> list[str]:
    """Lists the versions that are prepared in a folder, the newest last."""
    found = [path.parent.name for path in folder.glob(f"*/{INFO}") if _VERSION.fullmatch(path.parent.name)]
    return sorted(found, key=lambda version: tuple(map(int, version.split("."))))


def _how_to_prepare(dataset: str, data_dir: Path) -> str:
    call = f"tfds.builder({dataset!r}, data_dir={str(data_dir)!r}, file_format='array_record').download_and_prepare()"
    return (
        "  python3 -m venv .venv-tfds && .venv-tfds/bin/pip install -r requirements-tfds.txt\n"
        f'  .venv-tfds/bin/python -c "import tensorflow_datasets as tfds; {call}"'
    )


def _builder(folder: Path, field: str) -> tfds.core.DatasetBuilder:
    """Opens a folder that TFDS has prepared as ArrayRecord files."""
    opened = open_builder(folder, f"{field}: ")
    file_format, features = opened.info.file_format, opened.info.features
    if file_format is None or file_format.value != "array_record":
        info = opened.info
        parent = folder.parent.parent.parent if info.config_name else folder.parent.parent
        target = parent.with_name(f"{parent.name}-array_record")
        name = info.full_name.rpartition("/")[0]
        raise DataError(
            f"{field}: {folder} is prepared in the format {file_format and file_format.value}, expected array_record; "
            f"these commands prepare it so in {target}, which is then config.data.data_dir:\n"
            f"{_how_to_prepare(f'{name}:{info.version}', target)}"
        )
    if not isinstance(features, tfds.features.FeaturesDict):
        raise DataError(f"{field}: {folder} has no features by name, expected images and labels")
    return opened


def _key(builder: tfds.core.DatasetBuilder, kind: str, named: str | None) -> str:
    """Finds the feature of the images or of the labels."""
    features = dict(sorted(builder.info.features.items()))  # TFDS gives them in another order each time
    expected = " or ".join(each.__name__ for each in _KEYS[kind])
    # A ClassLabel is a Tensor too.
    usable = [name for name, feature in features.items() if type(feature) in _KEYS[kind] and _is_usable(feature)]
    if named is not None:
        if named in usable:
            return named
        raise DataError(
            f"config.data.{kind}={named}: {builder.info.full_name} has {', '.join(usable) or 'no feature'} of the type "
            f"{expected}"
        )
    supervised = builder.info.supervised_keys or ()
    chosen = [name for name in supervised if isinstance(name, str) and name in usable][:1] or usable
    if len(chosen) == 1:
        return chosen[0]
    if chosen:
        raise DataError(
            f"config.data.{kind}: {builder.info.full_name} has the features {', '.join(chosen)}; name one of them"
        )
    all_features = ", ".join(f"{name} ({type(feature).__name__})" for name, feature in features.items())
    raise DataError(
        f"config.data.{kind}: {builder.info.full_name} has the features {all_features}; expected one of the type "
        f"{expected}" + " of 8 bits, [height, width, 1 or 3]" * (kind == "image")
    )


def _is_usable(feature: Any) -> bool:
    """Whether a feature's images are of 8 or 16 bits in files, or 8-bit pixels of one or three channels."""
    if type(feature) is tfds.features.Tensor:
        shape = feature.shape
        return feature.np_dtype == np.uint8 and (len(shape) == 2 or (len(shape) == 3 and shape[2] in (1, 3)))
    return not isinstance(feature, tfds.features.Image) or np.dtype(feature.np_dtype) in (np.uint8, np.uint16)


def _counted(info: tfds.core.DatasetInfo) -> str:
    return ", ".join(f"{name} ({split.num_examples:,})" for name, split in info.splits.items())


def _warnings(found: dict[str, ArrayRecords], expressions: dict[str, str | None]) -> tuple[str, ...]:
    """Warns of splits that share examples."""
    ranges = {name: [(file, skip, skip + count) for file, skip, count in each.parts] for name, each in found.items()}
    warnings = []
    for one, other in itertools.combinations(found, 2):
        shared = sum(map(_overlap, *zip(*itertools.product(ranges[one], ranges[other]), strict=True)))
        if shared:
            warnings.append(
                f"config.data.{one}={expressions[one]} and config.data.{other}={expressions[other]} share {shared:,} "
                "examples"
            )
    return tuple(warnings)


def _overlap(one: Sequence[Any], other: Sequence[Any]) -> int:
    return max(0, min(one[2], other[2]) - max(one[1], other[1])) if one[0] == other[0] else 0
