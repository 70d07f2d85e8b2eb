"""Image shapes and classes from the config, from the flags, and from neither."""

import pytest

from cnn_jax.aot import images
from cnn_jax.config.parsing import ConfigError, parse

FOLDER = {"name": "image_folder", "train_dir": "no/such/folder", "height": 224, "width": 200}
IDX = {"name": "idx", "train_images": "a", "train_labels": "b", "test_images": "c", "test_labels": "d"}
CSV = {"name": "csv", "train_file": "a", "test_file": "b"}


def data(raw):
    return parse({"data": raw}).data


@pytest.mark.parametrize(
    ("raw", "shape", "classes", "expected"),
    [
        ({"name": "fashion_mnist"}, None, None, ((28, 28, 1), 10)),
        ({"name": "mnist"}, (28, 28, 1), 10, ((28, 28, 1), 10)),
        (FOLDER | {"classes": 1000}, None, None, ((224, 200, 3), 1000)),
        (FOLDER, None, 7, ((224, 200, 3), 7)),
        (IDX, (64, 48, 3), 5, ((64, 48, 3), 5)),
        (IDX | {"class_names": ("a", "b", "c")}, (64, 48, 3), None, ((64, 48, 3), 3)),
        (CSV | {"channels": 3}, None, 4, ((28, 28, 3), 4)),
    ],
)
def test_known(raw, shape, classes, expected):
    assert images.describe(data(raw), shape, classes) == expected


def test_a_folder_that_is_here_is_counted(tmp_path):
    for name in ("cat", "dog", "newt"):
        (tmp_path / name).mkdir()
    assert images.describe(data(FOLDER | {"train_dir": str(tmp_path)}), None, None) == ((224, 200, 3), 3)


@pytest.mark.parametrize(
    ("raw", "shape", "classes", "told"),
    [
        (FOLDER, None, None, ("--classes", "--classes=N")),
        (IDX, None, None, ("--image_shape=HEIGHTxWIDTHxCHANNELS", "--classes=N")),
        (CSV, None, None, ("--classes=N",)),
        ({"name": "mnist"}, (32, 32, 1), None, ("--image_shape: got 32x32x1, and the config's data have 28x28x1",)),
        (FOLDER | {"classes": 1000}, None, 10, ("--classes: got 10, and the config's data have 1000",)),
    ],
)
def test_what_is_missing_or_disagrees_is_told(raw, shape, classes, told):
    with pytest.raises(ConfigError) as refused:
        images.describe(data(raw), shape, classes)
    for part in told:
        assert part in str(refused.value)
