"""The examination of trials: what it keeps must not hide a fault of another trial."""

import pytest

from cnn_jax.config.parsing import parse
from cnn_jax.sweep.examination import Examiner


def trial(line_data, **sections):
    raw = {"data": line_data, "model": {"features": (4,), "pooling": "max", "dense": ()}}
    return parse({name: raw.get(name, {}) | sections.get(name, {}) for name in raw | sections})


# Each is legal by itself and illegal on 10x10 images, of which there are 500.
@pytest.mark.parametrize(
    ("section", "field", "value"),
    [
        ("train", "eval_shift", 10),
        ("train", "batch_size", 501),
        ("augment", "shift", 10),
        ("augment", "cutout", 19),
        ("pretrained", "freeze", ("conv7",)),
    ],
)
def test_a_trial_that_differs_in_one_field_is_checked_by_itself(line_data, section, field, value):
    examine = Examiner(None)
    assert examine(trial(line_data)).fault is None
    fault = examine(trial(line_data, **{section: {field: value}})).fault
    assert fault is not None
    assert f"config.{section}.{field}" in fault


def test_trials_that_no_check_tells_apart_share_one(line_data):
    examine = Examiner(None)
    first = examine(trial(line_data))
    assert first.parameters
    assert examine(trial(line_data, optimizer={"learning_rate": 0.5}, schedule={"name": "cosine"})) is first
