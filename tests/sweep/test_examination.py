"""The examination of trials: what it keeps must not hide a fault of another trial."""

import pytest
from PIL import Image

from cnn_jax.config.parsing import parse
from cnn_jax.data import load
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


def test_each_seed_of_a_folder_has_the_checksum_of_its_own_images(tmp_path):
    for name, grey in (("dark", 10), ("light", 200)):
        (tmp_path / name).mkdir()
        for number in range(4):
            Image.new("L", (8, 8), grey + number).save(tmp_path / name / f"{number}.png")
    folder = {"name": "image_folder", "train_dir": str(tmp_path), "height": 8, "width": 8, "channels": 1}
    data = folder | {"test_fraction": 0.25}
    examine = Examiner(None)
    seeds = [trial(data, train={"batch_size": 2}).model_copy(update={"seed": seed}) for seed in range(4)]
    found = [examine(each) for each in seeds]
    assert [each.fault for each in found] == [None] * 4
    expected = [load(each.data, each.seed).checksum for each in seeds]
    assert len(set(expected)) > 1, "the seeds draw other test images"
    assert [each.checksum for each in found] == expected
    assert len({(each.parameters, each.multiply_adds) for each in found}) == 1
