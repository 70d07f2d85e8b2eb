"""Fields that say where data lie, and what they leave the same."""

import os
import typing

import pytest

from cnn_jax import config
from cnn_jax.config import locations
from cnn_jax.config.parsing import ConfigError, parse

CSV = {"name": "csv", "train_file": "a.csv", "test_file": "~/b.csv"}


def _plain(kind):
    """A type without what is annotated to it."""
    return typing.get_args(kind)[0] if typing.get_origin(kind) is typing.Annotated else kind


def test_every_field_of_text_is_known():
    """A new field with a path must be told apart from one that changes the data."""
    sources = typing.get_args(typing.get_args(config.Data)[0])
    text = {
        name
        for source in sources
        for name, field in source.model_fields.items()
        if any(_plain(kind) is str for kind in (field.annotation, *typing.get_args(field.annotation)))
    }
    names_in_data = {"label_column", "dataset", "train_split", "validation_split", "test_split", "image", "label"}
    assert text - names_in_data == set(locations.FIELDS)


def test_paths_are_absolute(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    found = locations.paths(parse({"data": CSV}))
    assert found == {"train_file": str(tmp_path / "a.csv"), "test_file": os.path.expanduser("~/b.csv")}
    assert locations.paths(parse({})) == {}
    assert locations.paths(parse({"data": {"name": "mnist", "idx_dir": "x"}})) == {"idx_dir": str(tmp_path / "x")}


def test_a_folder_whose_name_is_no_text(monkeypatch, tmp_path):
    there = tmp_path / os.fsdecode(b"f\xff")
    there.mkdir()
    monkeypatch.chdir(there)
    assert locations.paths(parse({"data": CSV})) == {"test_file": os.path.expanduser("~/b.csv")}


def test_moved():
    experiment = parse({"data": CSV, "seed": 3, "model": {"name": "lenet5"}})
    there = locations.moved(experiment, {"train_file": "/x/a.csv"})
    assert there.data == config.Csv(train_file="/x/a.csv", test_file="~/b.csv")
    assert there == experiment.model_copy(update={"data": there.data})
    assert locations.moved(experiment, {}) is experiment
    with pytest.raises(ConfigError, match=r"--config.data.folder: .*name=csv has: --config.data.train_file, --config"):
        locations.moved(experiment, {"folder": "/x"})


@pytest.mark.parametrize(
    ("other", "same"),
    [
        ({"data": CSV | {"train_file": "/x/a.csv"}}, True),
        ({"data": CSV | {"height": 9}}, False),
        ({"data": {"name": "mnist"}}, False),
        ({"data": CSV, "seed": 1}, False),
    ],
)
def test_compared_without_locations(other, same):
    held = parse({"data": CSV})
    assert (locations.located_as(parse(other), held) == held) is same


def test_a_test_folder_of_its_own_is_other_data():
    with_test, without = (
        parse({"data": {"name": "image_folder", "train_dir": "a", "test_dir": folder}}) for folder in ("b", None)
    )
    assert locations.located_as(without, with_test) != with_test


def test_without():
    content = parse({"data": CSV}).model_dump(mode="json")
    left = locations.without(content)
    assert left["data"] == {k: v for k, v in content["data"].items() if k not in ("train_file", "test_file")}
    assert {**left, "data": 0} == {**content, "data": 0}
    assert locations.without({"data": None}) == {"data": None}
