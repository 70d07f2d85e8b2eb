"""Loading by config: splits, checks and the checksum."""

import os
import shutil
import weakref
from pathlib import Path

import numpy as np
import pytest

from cnn_jax import config as cfg
from cnn_jax.data import DataError, load


def idx_config(line_data, **fields):
    return cfg.Idx(**(line_data | fields))


def rows(split):
    return [image.tobytes() for image in split.images]


def test_the_whole_set(line_data):
    dataset = load(idx_config(line_data), seed=0)
    assert (len(dataset.train), dataset.validation, len(dataset.test)) == (500, None, 150)
    assert dataset.image_shape == (10, 10, 1)
    assert dataset.class_names == ("vertical", "horizontal", "both")


def test_validation_images_are_drawn_from_the_seed_by_class(line_data):
    whole = load(idx_config(line_data), seed=0).train
    first, again, other = (load(idx_config(line_data, validation_fraction=0.2), seed) for seed in (1, 1, 2))
    assert rows(first.validation) == rows(again.validation)
    assert rows(first.validation) != rows(other.validation)
    assert sorted(rows(first.train) + rows(first.validation)) == sorted(rows(whole))
    counts = np.bincount(first.validation.labels)
    assert counts.tolist() == [round(0.2 * count) for count in np.bincount(whole.labels).tolist()]
    assert rows(first.test) == rows(other.test)


def test_a_subset_is_drawn_after_the_validation_images(line_data):
    dataset = load(idx_config(line_data, validation_fraction=0.2, train_examples=50), seed=1)
    validation = load(idx_config(line_data, validation_fraction=0.2), seed=1).validation
    assert len(dataset.train) == 50
    assert rows(dataset.validation) == rows(validation)
    assert not set(rows(dataset.train)) & set(rows(validation))


def test_a_subset_of_the_test_images_is_the_same_for_every_seed(line_data):
    whole = load(idx_config(line_data), seed=0).test
    first, other = (load(idx_config(line_data, test_examples=40), seed).test for seed in (1, 2))
    assert len(first) == 40
    assert rows(first) == rows(other)
    assert not set(rows(first)) - set(rows(whole))
    assert np.bincount(first.labels).min() > 5  # drawn from everywhere: the file's order says nothing


def test_the_checksum_is_of_the_source(line_data):
    plain = load(idx_config(line_data), 0).checksum
    assert len(plain) == 64
    assert load(idx_config(line_data, validation_fraction=0.5), 3).checksum == plain
    other = {f"train_{kind}": line_data[f"test_{kind}"] for kind in ("images", "labels")}
    assert load(idx_config(line_data, **other), 0).checksum != plain


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"class_names": ("vertical", "horizontal")}, r"labels \[2\], expected 0 to 1"),
        ({"class_names": ("a", "b", "a")}, "two classes of idx have the same name"),
        ({"train_examples": 501}, r"config.data.train_examples=501: there are only 500"),
        ({"test_examples": 151}, r"config.data.test_examples=151: there are only 150 test images"),
        ({"validation_fraction": 0.001}, r"config.data.validation_fraction=0.001 of 500 images holds out 0"),
    ],
)
def test_what_does_not_fit_is_refused(line_data, fields, message):
    with pytest.raises(DataError, match=message):
        load(idx_config(line_data, **fields), 0)


def test_images_of_two_sizes(line_data, tmp_path):
    (tmp_path / "test.csv").write_text("1,0,0,0,0\n0,0,0,0,0\n")
    (tmp_path / "train.csv").write_text("1,0,0,0,0\n1,0,0,0,0\n")
    config = cfg.Csv(train_file=str(tmp_path / "train.csv"), test_file=str(tmp_path / "test.csv"), height=2, width=2)
    with pytest.raises(DataError, match="all of one class"):
        load(config, 0)


def test_shifted_test_images(line_data):
    plain, shifted = (load(idx_config(line_data, test_shift=shift), seed=1) for shift in (0, 3))
    assert rows(plain.train) == rows(shifted.train)
    assert plain.checksum == shifted.checksum
    moved = set()
    for before, after in zip(plain.test.images, shifted.test.images, strict=True):
        corner = next(
            (y, x)
            for y in (-3, 3)
            for x in (-3, 3)
            if np.array_equal(
                after[max(y, 0) : 10 + min(y, 0), max(x, 0) : 10 + min(x, 0)],
                before[max(-y, 0) : 10 + min(-y, 0), max(-x, 0) : 10 + min(-x, 0)],
            )
        )
        moved.add(corner)
        assert after.astype(int).sum() < before.astype(int).sum(), "black has entered"
    assert len(moved) == 4
    with pytest.raises(DataError, match="test_shift=10 moves all of an image of 10x10 out of sight"):
        load(idx_config(line_data, test_shift=10), seed=1)


def test_records_stay_where_they_are(records_folder):
    dataset = load(cfg.Records(folder=str(records_folder), image_size=20, validation_fraction=0.1), seed=0)
    assert [len(each) for each in (dataset.train, dataset.validation, dataset.test)] == [49, 5, 6]
    assert dataset.image_shape == (20, 20, 3)
    assert dataset.num_classes == 3
    with pytest.raises(DataError, match=r"has 3 classes, and config.data.classes=4; name another folder"):
        load(cfg.Records(folder=str(records_folder), classes=4), seed=0)
    with pytest.raises(DataError, match=r"config.data.folder: there is no folder nowhere; `launch.py prepare"):
        load(cfg.Records(folder="nowhere"), seed=0)


@pytest.mark.parametrize(
    ("label", "classes"), [(9, 10), (999, 1000), (1000, None), (1_000_000, None), (2_000_000_000, None)]
)
def test_a_label_that_stands_far_off(tmp_path, label, classes):
    for name in ("train", "test"):
        (tmp_path / name).write_text(f"0,1,1,1,1\n{label},2,2,2,2\n3,3,3,3,3\n")
    config = cfg.Csv(train_file=str(tmp_path / "train"), test_file=str(tmp_path / "test"), height=2, width=2)
    if classes is not None:
        assert load(config, 0).num_classes == classes
        return
    expected = f"the label {label} of training image 2 would make {label + 1:,} classes of 3 images; .*class_names"
    with pytest.raises(DataError, match=expected):
        load(config, 0)


def test_the_columns_of_a_csv_file_come_from_the_config(tmp_path):
    (tmp_path / "train").write_text("9,9,9,9,0\n8,8,8,8,1\n")
    (tmp_path / "test").write_text("a,b,c,d,e\n7,7,7,7,1\n")
    files = {"train_file": str(tmp_path / "train"), "test_file": str(tmp_path / "test")}
    dataset = load(cfg.Csv(**files, height=2, width=2, label_column=-1), 0)
    assert (dataset.train.labels.tolist(), dataset.test.labels.tolist()) == ([0, 1], [1])
    assert dataset.test.images.ravel().tolist() == [7] * 4


def test_runs_that_are_trained_together_share_what_they_read(line_data, tmp_path):
    files = {}
    for name, content in line_data.items():
        if name.startswith(("train", "test")):
            files[name] = str(shutil.copy(content, tmp_path / name))
    config = idx_config(line_data, **files)
    first, second = load(config, 1), load(config, 2)
    assert first.train is second.train
    assert first.test is second.test
    held = weakref.ref(first.train)
    labels = Path(files["train_labels"])
    *others, last = labels.read_bytes()
    labels.write_bytes(bytes([*others, (last + 1) % 3]))
    os.utime(labels, ns=(1, 1))
    third = load(config, 1)
    assert third.train is not first.train
    assert third.checksum != first.checksum
    assert load(idx_config(line_data, **files, train_examples=10), 1).train is not third.train
    del first, second
    assert held() is None, "nothing is kept that nobody uses"
