"""Data that are legal and perhaps not meant, from files to the warnings of a data set."""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cnn_jax import config as cfg
from cnn_jax.data import load
from tests.conftest import write_idx


def write_csv(path, images, labels):
    rows = np.column_stack([labels, images.reshape(len(images), -1)])
    path.write_text("\n".join(",".join(map(str, row)) for row in rows.tolist()) + "\n")
    return str(path)


def images(count, seed):
    return np.random.default_rng(seed).integers(0, 256, (count, 4, 4), np.uint8)


def csv(tmp_path, train, test, **fields):
    paths = {
        f"{split}_file": write_csv(tmp_path / f"{split}.csv", *part)
        for split, part in (("train", train), ("test", test))
    }
    return cfg.Csv(**paths, height=4, width=4, **fields)


def idx(tmp_path, train, test, **fields):
    for split, part in (("train", train), ("test", test)):
        for kind, array in zip(("images", "labels"), part, strict=True):
            write_idx(tmp_path / f"{split}-{kind}", np.asarray(array))
            fields[f"{split}_{kind}"] = str(tmp_path / f"{split}-{kind}")
    return cfg.Idx(**fields)


def folders(root, arrays, labels):
    for number, (array, label) in enumerate(zip(arrays, labels, strict=True)):
        (root / f"class{label}").mkdir(parents=True, exist_ok=True)
        Image.fromarray(array).save(root / f"class{label}" / f"{number}.png")
    return str(root)


def image_folder(tmp_path, train, test, **fields):
    return cfg.ImageFolder(
        train_dir=folders(tmp_path / "train", *train),
        test_dir=folders(tmp_path / "test", *test),
        height=4,
        width=4,
        channels=1,
        **fields,
    )


SOURCES = [csv, idx, image_folder]
LABELS = [0, 1, 2] * 4


@pytest.mark.parametrize("source", SOURCES)
def test_ordinary_data_have_no_warnings(source, tmp_path):
    config = source(tmp_path, (images(12, 1), LABELS), (images(12, 2), LABELS), validation_fraction=0.25)
    assert load(config, 0).warnings == ()


@pytest.mark.parametrize("source", [csv, idx])
def test_labels_with_gaps(source, tmp_path):
    config = source(tmp_path, (images(12, 1), [*LABELS[:-1], 255]), (images(12, 2), LABELS))
    gaps, lacking = load(config, 0).warnings
    assert gaps == (
        "the labels of the training images have gaps: they reach 255, and so there are 256 classes, but 252 of these "
        "have no image (3, 4, 5, 6, 7, ...); is a label wrong?"
    )
    assert lacking == "the test images lack 1 of the 256 classes: 255"


@pytest.mark.parametrize("source", SOURCES)
def test_classes_that_a_split_lacks(source, tmp_path):
    config = source(tmp_path, (images(12, 1), LABELS), (images(4, 2), [0, 0, 2, 2]))
    name = "class1" if source is image_folder else "1"
    assert load(config, 0).warnings == (f"the test images lack 1 of the 3 classes: {name}",)


def test_classes_that_training_lacks_by_name(tmp_path):
    config = csv(
        tmp_path, (images(8, 1), [0, 2] * 4), (images(4, 2), [0, 2] * 2), class_names=("cat", "dog", "ox", "cow")
    )
    assert load(config, 0).warnings == ("the training images lack 2 of the 4 classes: dog, cow",)


def test_validation_images_that_lack_a_class(tmp_path):
    config = csv(tmp_path, (images(12, 1), [0] * 10 + [1] * 2), (images(4, 2), [0, 1] * 2), validation_fraction=0.2)
    assert load(config, 0).warnings == ("the validation images lack 1 of the 2 classes: 1",)


@pytest.mark.parametrize("source", SOURCES)
def test_copies_in_both_splits(source, tmp_path):
    train, test = images(12, 1), images(12, 2)
    test[[3, 5]] = train[[4, 0]]
    [warning] = load(source(tmp_path, (train, LABELS), (test, LABELS)), 0).warnings
    assert warning.startswith("2 of the 12 test images are also among the training images, pixel by pixel: ")
    if source is image_folder:  # by class and name: class0/3 comes before class2/5
        assert warning.endswith(f": {tmp_path}/test/class0/3.png is {tmp_path}/train/class1/4.png")
    else:
        assert warning.endswith(": number 3 is number 4")


@pytest.mark.parametrize("source", SOURCES)
def test_training_images_in_two_classes(source, tmp_path):
    train = images(12, 1)
    train[3], train[10], train[7] = train[1], train[0], train[6]  # the first of another class, the others of their own
    labels = [0, 1, 2, 0, 1, 2, 0, 0, 1, 2, 1, 2]
    train[11] = train[1]  # a third of its kind: numbers 1, 3 and 11 have the classes 1, 0 and 2; 0 and 10 have 0 and 1
    [warning] = load(source(tmp_path, (train, labels), (images(12, 2), LABELS)), 0).warnings
    assert warning.startswith("5 of the 12 training images are also in another class, pixel by pixel: ")
    if source is image_folder:
        names = (f"{tmp_path}/train/class0/0.png of class class0", f"{tmp_path}/train/class1/10.png of class class1")
    else:
        names = ("number 0 of class 0", "number 10 of class 1")
    assert warning.endswith(f": {names[0]} is {names[1]}; is a label wrong?")


def test_copies_of_one_class_are_no_contradiction(tmp_path):
    train = images(12, 1)
    train[3] = train[0]
    assert load(csv(tmp_path, (train, LABELS), (images(12, 2), LABELS)), 0).warnings == ()


def test_copies_under_other_names_that_a_split_tears_apart(tmp_path):
    arrays = images(20, 1)
    folders(tmp_path / "all", np.concatenate([arrays, arrays]), [0, 1] * 20)
    config = cfg.ImageFolder(
        train_dir=str(tmp_path / "all"), height=4, width=4, channels=1, test_fraction=0.3, validation_fraction=0.3
    )
    dataset = load(config, 0)
    sets = {
        which: {image.tobytes() for image in split.images}
        for which, split in (("training", dataset.train), ("validation", dataset.validation), ("test", dataset.test))
    }
    expected = []
    for one, other in (("training", "validation"), ("training", "test"), ("validation", "test")):
        copies = sum(
            image.tobytes() in sets[one]
            for image in (dataset.validation if other == "validation" else dataset.test).images
        )
        expected.append((copies, one, other))
    assert all(copies for copies, _, _ in expected)
    for warning, (copies, one, other) in zip(dataset.warnings, expected, strict=True):
        assert warning.startswith(f"{copies} of the ")
        assert f" {other} images are also among the {one} images" in warning


@pytest.mark.parametrize("source", SOURCES)
def test_one_source_for_training_and_testing(source, tmp_path):
    config = source(tmp_path, (images(12, 1), LABELS), (images(12, 2), LABELS))
    fields = {field: getattr(config, field) for field in type(config).model_fields}
    names = [field for field in fields if field.startswith("train_") and isinstance(fields[field], str)]
    link = tmp_path / "link"
    link.symlink_to(fields[names[0]])
    same = config.model_copy(
        update={name.replace("train_", "test_"): fields[name] for name in names}
        | {names[0].replace("train_", "test_"): str(link)}
    )
    test, train = names[0].replace("train_", "test_"), names[0]
    assert load(same, 0).warnings == (
        f"config.data.{test} is config.data.{train}: the network is tested on the images that it is trained on",
    )


@pytest.mark.parametrize(
    ("train", "test"),
    [
        ("train", "val"),
        ("Training", "Test"),
        ("train", "validation"),
        ("training_set", "test_set"),
        ("seg_train", "seg_test"),
        ("train2017", "val2017"),
        ("trainset", "testset"),
    ],
)
def test_splits_that_are_taken_as_classes(train, test, tmp_path):
    for split, seed in ((train, 1), (test, 2)):
        folders(tmp_path / "root" / split, images(9, seed), LABELS[:9])
    [warning] = load(cfg.ImageFolder(train_dir=str(tmp_path / "root"), height=4, width=4), 0).warnings
    assert warning == (
        f"config.data.train_dir: {train}/, {test}/ of {tmp_path}/root are taken as classes, though they have the names "
        f"of splits; if they are splits, name {tmp_path}/root/{train} for training and {tmp_path}/root/{test} for "
        "testing"
    )


def test_what_folders_pass_over(tmp_path):
    config = image_folder(tmp_path, (images(12, 1), LABELS), (images(12, 2), LABELS))
    (tmp_path / "train" / ".ipynb_checkpoints").mkdir()
    Image.fromarray(images(1, 9)[0]).save(tmp_path / "train" / ".ipynb_checkpoints" / "0.png")
    (tmp_path / "train" / "class0" / "._0.png").write_text("x")
    (tmp_path / "test" / "class1" / "notes.txt").write_text("x")
    (tmp_path / "test" / "class1" / "loop").symlink_to(tmp_path / "test")
    dataset = load(config, 0)
    assert (len(dataset.train), len(dataset.test), dataset.num_classes) == (12, 12, 3)
    train, test = dataset.warnings
    assert train.startswith(f"config.data.train_dir: passed over in {tmp_path}/train: 2 hidden files or folders (")
    assert test == (
        f"config.data.test_dir: passed over in {tmp_path}/test: 1 file that is no picture ({tmp_path}/test/class1/"
        f"notes.txt), 1 link to a folder that is read already ({tmp_path}/test/class1/loop)"
    )


def test_names_that_are_not_utf8_can_be_written(tmp_path):
    root = os.fsencode(tmp_path)
    for split, seed in ((b"train", 1), (b"test", 2)):
        for label in (0, 1):
            folder = root + b"/r\xe9/" + split + b"/c%d" % label
            os.makedirs(folder)
            Image.fromarray(images(1, 10 * seed + label)[0]).save(tmp_path / "one.png")
            shutil.move(tmp_path / "one.png", os.fsdecode(folder + b"/\xff.png"))
    (Path(os.fsdecode(root + b"/r\xe9/train/c1/caf\xe9.txt"))).write_text("x")
    shutil.copy(os.fsdecode(root + b"/r\xe9/train/c0/\xff.png"), os.fsdecode(root + b"/r\xe9/test/c0/\xfe.png"))
    fields = {f"{split}_dir": os.fsdecode(root + b"/r\xe9/" + split.encode()) for split in ("train", "test")}
    found = load(cfg.ImageFolder(train_dir="x", height=4, width=4, channels=1).model_copy(update=fields), 0).warnings
    assert len(found) == 2
    assert found[0].endswith(r"train/c1/caf\xe9.txt)")
    assert found[1].endswith(rf"{tmp_path}/r\xe9/test/c0/\xfe.png is {tmp_path}/r\xe9/train/c0/\xff.png")
    for warning in found:
        warning.encode()


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("most", [0, 1, 16])
def test_pixels_that_were_scaled(tmp_path, source, most):
    arrays = np.minimum(images(30, 0), most)
    arrays[0, 0, 0] = most
    labels = np.arange(30) % 2
    warnings = load(source(tmp_path, (arrays, labels), (images(10, 1), labels[:10])), 0).warnings
    assert any(f"no pixel of the training images is above {most}, and 255 is white" in text for text in warnings)


@pytest.mark.parametrize("source", SOURCES)
def test_pixels_of_the_whole_range(tmp_path, source):
    labels = np.arange(30) % 2
    assert load(source(tmp_path, (images(30, 0), labels), (images(10, 1), labels[:10])), 0).warnings == ()


@pytest.mark.parametrize(
    "names", [("trainer", "tester"), ("constraint", "contest"), ("train", "bus"), ("value", "strain")]
)
def test_names_that_only_contain_those_of_splits(names, tmp_path):
    for number, name in enumerate(names):
        folders(tmp_path / "root" / name, images(9, number), np.zeros(9, int))
    assert load(cfg.ImageFolder(train_dir=str(tmp_path / "root"), height=4, width=4), 0).warnings == ()
