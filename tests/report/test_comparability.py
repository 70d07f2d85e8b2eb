"""Warnings where figures do not compare, and none where they do."""

import pytest
from support.written_runs import change, write_run

from cnn_jax.report.comparability import warnings
from cnn_jax.report.compared_runs import read_entries


def warned(tmp_path, dataset=None, first=None, **config):
    """Warnings for a run beside another with another dataset.json or config."""
    one = write_run(tmp_path / "one", 0.9, dataset=first)
    return warnings(read_entries([one, write_run(tmp_path / "other", 0.8, dataset=dataset, **config)]))


def test_runs_on_the_same_images(tmp_path):
    assert warned(tmp_path, model__padding="SAME", optimizer__learning_rate=0.1) == []


@pytest.mark.parametrize(
    ("dataset", "told"),
    [
        (
            {"checksum": "c" * 64, "name": "cifar10"},
            "Data sets differ: fashion_mnist, checksum aaaaaaaa (entry 1); cifar10, checksum cccccccc (entry 2).",
        ),
        (
            {"images": {"train": 900, "validation": 0, "test": 50}},
            "Splits differ: 900 training, 0 validation and 100 test images (entry 1); "
            "900 training, 0 validation and 50 test images (entry 2).",
        ),
        (
            {"class_names": ["bag", "shirt"]},
            "Classes differ: 2 classes, shirt, bag (entry 1); 2 classes, bag, shirt (entry 2).",
        ),
        ({"image_shape": [32, 32, 1]}, "Images differ: 28x28x1 of uint8 (entry 1); 32x32x1 of uint8 (entry 2)."),
        ({"split_checksum": "d" * 64}, "With seed 0, entry 2 has other images in the splits than entry 1."),
        ({"mean": [70.0]}, "With seed 0, entry 2 has other normalization constants than entry 1."),
        ({"split_checksum": None}, None),  # of an older version, which did not write it
    ],
)
def test_other_images(tmp_path, dataset, told):
    assert warned(tmp_path, dataset) == ([] if told is None else [told])


def test_other_preprocessing(tmp_path):
    told = "Preprocessing differs, data.test_shift: 0 (entry 1); 3 (entry 2)."
    assert warned(tmp_path, data__test_shift=3) == [told]


def test_other_sources_have_other_fields(tmp_path):
    data = {"name": "cifar10", "normalize": "scale"}
    told = warned(tmp_path, {"checksum": "c" * 64, "name": "cifar10"}, data=data)
    assert [each.partition(":")[0] for each in told] == ["Data sets differ"]


def test_fields_that_change_no_figure(tmp_path):
    assert warned(tmp_path, data__memory="host") == []


def test_seeds_may_have_splits_of_their_own(tmp_path):
    one = write_run(tmp_path / "one", 0.9)
    other = write_run(tmp_path / "other", 0.8, 1, {"split_checksum": "d" * 64, "mean": [71.0]}, model__padding="SAME")
    assert warnings(read_entries([one, other])) == []


def test_parameters_that_were_chosen_otherwise(tmp_path):
    one, other = write_run(tmp_path / "one", 0.9), write_run(tmp_path / "other", 0.8, model__padding="SAME")
    change(other / "result.json", selected_by="validation_accuracy")
    assert warnings(read_entries([one, other])) == [
        "The tested parameters were selected differently: of the last epoch (entry 1); "
        "by validation accuracy (entry 2)."
    ]


def test_many_entries_are_counted(tmp_path):
    runs = [write_run(tmp_path / f"a{n}", 0.9, train__batch_size=8 + n) for n in range(12)]
    runs.append(write_run(tmp_path / "b", 0.9, dataset={"image_shape": [32, 32, 1]}, train__batch_size=64))
    assert warnings(read_entries(runs)) == [
        "Images differ: 28x28x1 of uint8 (entries 1, 2, 3, 4, 5, 6, 7, 8 and 4 more); 32x32x1 of uint8 (entry 13)."
    ]


def test_images_that_are_not_known(tmp_path):
    one, other = write_run(tmp_path / "one", 0.9), write_run(tmp_path / "other", 0.8)
    (other / "dataset.json").unlink()
    assert warnings(read_entries([one, other])) == ["The training and test images of entry 2 are not known."]
