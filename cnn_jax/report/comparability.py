"""Checks whether the metrics of runs are comparable: data sets, splits, preprocessing, choice of parameters."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Any

from cnn_jax.report.compared_runs import Entry, Run
from cnn_jax.run.records import DatasetInfo
from cnn_jax.sweep.points import value_text

_LISTED = 8  # entries that a warning names
_SIZES = ("validation_fraction", "train_examples", "test_examples", "test_fraction")
_NO_EFFECT = ("memory", "workers")  # fields of config.data that affect no metric


def warnings(entries: Sequence[Entry]) -> list[str]:
    """Lists the reasons why the metrics of entries are not comparable.

    Args:
      entries: Entries that are compared.

    Returns:
      One sentence per reason; empty if all runs used the same images, splits and preprocessing.
    """
    found = [
        _difference(entries, lambda run: run.dataset and run.dataset.checksum, _data, "Data sets differ"),
        _difference(entries, lambda run: run.dataset and run.dataset.class_names, _classes, "Classes differ"),
        _difference(entries, lambda run: run.dataset and _sizes(run.dataset), str, "Splits differ"),
        _same_seed_difference(entries, lambda info: info.split_checksum, "other images in the splits"),
        _same_seed_difference(entries, lambda info: (info.mean, info.std), "other normalization constants"),
        _difference(entries, lambda run: run.dataset and _images(run.dataset), str, "Images differ"),
        *_field_differences(entries),
        _difference(
            entries,
            _selected,
            lambda run: "by validation accuracy" if _selected(run) == "validation_accuracy" else "of the last epoch",
            "The tested parameters were selected differently",
        ),
    ]
    unknown = [str(number) for number, each in enumerate(entries, 1) if all(run.dataset is None for run in each.runs)]
    if unknown:
        found.append(f"The training and test images of {_entry_numbers(unknown)} are not known.")
    return [warning for warning in found if warning]


def _difference(
    entries: Sequence[Entry], get: Callable[[Run], Hashable], describe: Callable[[Any], str], subject: str
) -> str:
    """Returns a warning if a property differs between runs; unknown values are ignored."""
    members: dict[Hashable, list[str]] = {}
    texts: dict[Hashable, str] = {}
    for number, entry in enumerate(entries, 1):
        for run in entry.runs:
            value = get(run)
            if value is not None:
                texts.setdefault(value, describe(value if describe is str else run))
                listed_numbers = members.setdefault(value, [])
                if str(number) not in listed_numbers:
                    listed_numbers.append(str(number))
    if len(members) < 2:
        return ""
    return (
        f"{subject}: {'; '.join(f'{texts[value]} ({_entry_numbers(numbers)})' for value, numbers in members.items())}."
    )


def _same_seed_difference(entries: Sequence[Entry], get: Callable[[DatasetInfo], Hashable], difference: str) -> str:
    """Returns a warning if runs with the same seed and data set used different images."""
    first: dict[tuple[int, str], tuple[int, Hashable]] = {}
    for number, entry in enumerate(entries, 1):
        for run in entry.runs:
            info = run.dataset
            if info is None or get(info) is None or _sizes(info) is None:
                continue
            at, value = first.setdefault((run.row.seed, f"{info.checksum} {_sizes(info)}"), (number, get(info)))
            if value != get(info):
                return f"With seed {run.row.seed}, entry {number} has {difference} than entry {at}."
    return ""


def _field_differences(entries: Sequence[Entry]) -> list[str]:
    """Returns a warning for each field of config.data that differs, except the sizes of the splits."""
    configs = [entry.config for entry in entries]
    names = dict.fromkeys(field for config in configs if config for field in config if field.startswith("data."))
    found = []
    for field in names:
        if field.removeprefix("data.") in (*_SIZES, *_NO_EFFECT, "name"):
            continue
        values: dict[str, list[str]] = {}
        for number, config in enumerate(configs, 1):
            if config is not None and field in config:  # fields depend on the data source
                value = config[field]
                values.setdefault("none" if value is None else value_text(value), []).append(str(number))
        if len(values) > 1:
            listed = "; ".join(f"{value} ({_entry_numbers(numbers)})" for value, numbers in values.items())
            found.append(f"Preprocessing differs, {field}: {listed}.")
    return found


def _data(run: Run) -> str:
    assert run.dataset is not None
    return f"{run.dataset.name}, checksum {run.dataset.checksum[:8]}"


def _classes(run: Run) -> str:
    assert run.dataset is not None
    names = run.dataset.class_names
    return f"{len(names)} classes, {', '.join(names[:3])}{', ...' if len(names) > 3 else ''}"


def _sizes(info: DatasetInfo) -> str:
    images = info.images
    return f"{images.train:,} training, {images.validation:,} validation and {images.test:,} test images"


def _images(info: DatasetInfo) -> str:
    height, width, channels = info.image_shape
    return f"{height}x{width}x{channels} of {info.dtype}"


def _selected(run: Run) -> str | None:
    return None if run.row.result is None else run.row.result.selected_by


def _entry_numbers(numbers: Sequence[str]) -> str:
    more = f" and {len(numbers) - _LISTED} more" if len(numbers) > _LISTED else ""
    return f"entr{'y' if len(numbers) == 1 else 'ies'} {', '.join(numbers[:_LISTED])}{more}"
