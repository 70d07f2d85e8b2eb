"""Suggested settings: the nearest that works, found with little work however far away it is."""

import pytest

from cnn_jax import geometry
from cnn_jax.config.model import Cnn, GoogLeNet, ResNet
from cnn_jax.config.networks import ZFNet
from cnn_jax.geometry import nearest
from cnn_jax.ops import GeometryError

SHAPE = (28, 28, 1)


def suggestions(config, works):
    """Gives what is suggested where a function tells which configs work, and how many were tried."""
    tried = []

    def trace(config, shape):
        tried.append((config, shape))
        if shape != SHAPE or not works(config):
            raise GeometryError("too large")

    return list(nearest.suggest_fixes(config, SHAPE, trace)), len(tried)


def test_the_paddings_of_two_convolutions_stay_two():
    found, _ = suggestions(ZFNet(), lambda config: config.early_padding == ("SAME", "SAME"))
    assert found == ["config.model.early_padding=('SAME', 'SAME')"]


@pytest.mark.parametrize("field", ["kernel_size", "pool_window", "strides", "dilation"])
@pytest.mark.parametrize(
    ("largest", "working"), [(1024, 1), (1024, 37), (1024, 1023), (1024, 1016), (40, 31), (9, 8), (2, 1)]
)
def test_the_largest_size_that_works(field, largest, working):
    found, tried = suggestions(Cnn(**{field: largest}), lambda config: getattr(config, field) <= working)
    assert found == [f"config.model.{field}={working}"]
    assert tried < 120


def test_the_largest_sizes_of_stages_and_pairs():
    config = Cnn(kernel_size=(3, (1024, 5), 1000), features=(4, 4, 4))

    def works(config):
        return (
            isinstance(config.kernel_size, tuple) and config.kernel_size[1][0] <= 333 and config.kernel_size[2] <= 500
        )

    assert suggestions(config, works)[0] == ["config.model.kernel_size=(3, (333, 5), 333)"]


@pytest.mark.parametrize(
    ("groups", "features", "working"), [(16_000_000, 64, 64), (100, 96, 96), (65, 64, 64), (7, 6, 6)]
)
def test_groups_that_divide(groups, features, working):
    found, tried = suggestions(Cnn(groups=groups), lambda config: features % config.groups == 0)
    assert f"config.model.groups={working}" in found
    assert tried < 150


@pytest.mark.parametrize(("side", "least"), [(224, 225), (224, 1000), (224, 1567), (7, 31), (28, 17), (300, 8)])
def test_the_nearest_image_size(side, least):
    """Larger images work, or smaller ones; no field helps."""
    tried = []

    def trace(config, shape):
        tried.append(shape)
        if shape[0] < least if least > side else shape[0] > least:
            raise GeometryError("too small or too large")

    config = GoogLeNet()
    assert list(nearest.suggest_fixes(config, (side, side, 3), trace)) == [f"images of {least}x{least}"]
    assert len(tried) < 80  # each takes a fifth of a second for GoogLeNet


def test_nothing_is_suggested_where_nothing_works():
    found, tried = suggestions(ResNet(stem_kernel_size=1024, stem_strides=1024), lambda config: False)
    assert found == []
    assert tried < 300


@pytest.mark.parametrize(
    ("fields", "rule"),
    [
        (
            {"dilation": 1024, "padding": "SAME"},
            "adds 1,024 pixels of zeros on a side of a map of 28, above the bound of 60",
        ),
        ({"kernel_size": 1023, "padding": "SAME"}, "adds 511 pixels of zeros"),
        (
            {"strides": 1024, "padding": "SAME", "kernel_size": 201, "pooling": "none", "features": (4,)},
            "adds 87 pixels of zeros",
        ),
        ({"pool_window": 1024, "pool_padding": "SAME"}, "adds 499 pixels of zeros on a side of a map of 26"),
        ({"padding": 61}, "adds 61 pixels of zeros"),
        ({"padding": ((0, 0), (0, 1000))}, "adds 1,000 pixels of zeros"),
        ({"dilation": 1024}, "a window of 2049 pixels exceeds its input of 28"),
        ({"kernel_size": 1024}, "a window of 1024 pixels exceeds its input of 28"),
        ({"pool_window": 1024}, "a window of 1024 pixels exceeds its input of 26"),
    ],
)
def test_windows_beyond_all_use_are_refused_with_settings_that_work(fields, rule):
    with pytest.raises(GeometryError) as caught:
        geometry.summarize(Cnn(**fields), SHAPE, 10)
    assert rule in str(caught.value)
    assert "this works: config.model." in str(caught.value)


def test_what_is_wide_and_works_is_tabulated():
    config = Cnn(features=(2, 2), kernel_size=(33, 3), padding="SAME", strides=(1, 1024), pooling="none", dense=())
    rows = geometry.summarize(config, SHAPE, 10).layers
    assert [row.output_shape for row in rows[:2]] == [(28, 28, 2), (1, 1, 2)]
