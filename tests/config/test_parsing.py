"""Every fault at once, each with its field and the nearest fix."""

import json

import pytest

from cnn_jax.config import Experiment
from cnn_jax.config.fields import field_rows
from cnn_jax.config.parsing import ConfigError, changed_fields, override, parse
from cnn_jax.words import nearest


def faults(raw):
    with pytest.raises(ConfigError) as caught:
        parse(raw)
    return caught.value.faults


def test_all_faults_at_once():
    found = faults(
        {
            "seed": True,
            "schedule": {"name": "cosin"},
            "model": {"padding": "SAMEE", "featres": 3, "strides": (1, 2)},
            "train": {"epochs": "5", "learning_rate": 3},
            "chekpoint": {},
            "checkpoint": {"select": "best"},
        }
    )
    assert len(found) == 9
    text = "\n".join(found)
    for part in (
        "config.seed: got True (bool), expected integer >= 0",
        "config.schedule.name: got 'cosin' (str)",
        "did you mean 'cosine'?",
        "did you mean 'SAME'?",
        "config.model.featres: unknown field; did you mean config.model.features?",
        "config.train.epochs: got '5' (str), expected integer >= 1",
        "config.train.learning_rate: unknown field; did you mean config.optimizer.learning_rate?",
        "config.chekpoint: unknown field; did you mean config.checkpoint?",
        "config.model.strides has 2 entries",
        "config.checkpoint.select='best' needs validation images",
    ):
        assert part in text


def test_a_combination_with_a_faulty_field_is_not_guessed_at():
    found = faults({"model": {"features": (0,), "strides": (1, 2)}})
    assert len(found) == 1
    assert found[0].startswith("config.model.features: got (0,)")


def test_a_field_of_another_alternative_says_whose_it_is():
    assert faults({"optimizer": {"momentum": 0.9}}) == [
        "config.optimizer.momentum: unknown field; it belongs to config.optimizer.name=sgd, rmsprop"
    ]


def test_a_required_field():
    found = faults({"data": {"name": "csv", "train_file": "a.csv"}})
    assert len(found) == 1
    assert found[0].startswith("config.data.test_file: required")


def test_sections_that_are_none():
    assert faults({"train": 5}) == [
        "config.train: got 5 (int), expected a section of: epochs, batch_size, accumulate, shard_optimizer, "
        "shard_dense, eval_every_epochs, eval_batch_size, label_smoothing, aux_loss_weight, ema_decay, eval_mirrored, "
        "eval_shift, steps_per_dispatch, deterministic, matmul_precision"
    ]
    assert "a section with the name sgd | rmsprop | adam | adamw" in faults({"optimizer": "adam"})[0]


def test_json_round_trip():
    experiment = parse({"model": {"padding": ("SAME", 1, ((0, 1), (2, 3)))}, "schedule": {"name": "one_cycle"}})
    assert parse(json.loads(experiment.model_dump_json())) == experiment


def test_overrides_are_laid_over():
    raw = override({"train": {"epochs": 3, "batch_size": 8}}, {"train.epochs": 7, "optimizer.learning_rate": 0.1})
    experiment = parse(raw)
    assert (experiment.train.epochs, experiment.train.batch_size, experiment.optimizer.learning_rate) == (7, 8, 0.1)


def test_an_override_below_a_value():
    with pytest.raises(ConfigError, match=r"config.seed.x: config.seed is 3 \(int\), which has no fields"):
        override({"seed": 3}, {"seed.x": 1})


def test_changed_fields():
    old, new = parse({}), parse({"train": {"epochs": 6}, "schedule": {"name": "cosine"}})
    assert changed_fields(old, new) == [
        "config.schedule.name: 'constant' -> 'cosine'",
        "config.train.epochs: 5 -> 6",
        "config.schedule.final_fraction: (absent) -> 0.0",
    ]
    assert changed_fields(old, old) == []


def test_every_leaf_has_a_row_with_type_default_and_meaning():
    rows = field_rows()
    assert len({(row.path, row.variant, row.type) for row in rows}) == len(rows)
    assert all(row.type and row.default and row.meaning for row in rows)
    paths = {row.path for row in rows}

    def leaves(tree, prefix=""):
        for key, value in tree.items():
            yield from leaves(value, f"{prefix}{key}.") if isinstance(value, dict) else [f"{prefix}{key}"]

    assert set(leaves(Experiment().model_dump())) <= paths
    assert {"optimizer.momentum", "schedule.boundaries", "data.train_dir"} <= paths


def test_nearest():
    assert nearest("same_lowr", ["SAME", "SAME_LOWER"]) == "SAME_LOWER"
    assert nearest("xyz", ["SAME"]) is None


def test_a_config_that_contains_itself_has_an_end():
    raw = {"train": {}}
    raw["train"]["train"] = raw
    assert "nested more than 16 deep, or it contains itself" in faults(raw)[0]
    entries = [1]
    entries.append(entries)
    assert faults({"model": {"padding": entries}})[0].startswith("config.model.padding.1.1.")
    deep = "x"
    for _ in range(5000):
        deep = {"a": deep}
    assert "nested more than 16 deep" in faults({"model": deep})[0]


@pytest.mark.parametrize("key", [1, None, ("train", "epochs"), 1.5, b"seed"])
def test_a_key_that_is_no_text_is_refused(key):
    assert faults({key: 1})[0].startswith(f"config: got the key {key!r} ({type(key).__name__}), expected the name")
    assert faults({"train": {key: 1}})[0].startswith(f"config.train: got the key {key!r}")


@pytest.mark.parametrize("name", ["data.train_dir", "pretrained.weights"])
def test_text_with_nul_is_refused(name):
    section, field = name.split(".")
    found = faults({section: {"name": "image_folder"} | {field: "a\0b"} if section == "data" else {field: "a\0b"}})
    assert found == [f"config.{name}: got 'a\\x00b' (str), expected text without NUL characters"]
