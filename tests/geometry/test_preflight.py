"""Checks before a run: norms of single values, layer by layer, and trainings that are too long."""

import numpy as np
import pytest

from cnn_jax import geometry
from cnn_jax.config.parsing import ConfigError, parse
from cnn_jax.data import Dataset, Split
from cnn_jax.geometry import preflight


def check(model, shape=(5, 5, 1), pretrained=None, **train):
    """Checks the norms of an experiment; gives the message, or None where there is nothing to refuse."""
    raw = {"model": model, "train": {"batch_size": 1} | train, "pretrained": pretrained or {}}
    experiment = parse(raw)
    try:
        preflight.check_norms(experiment, geometry.summarize(experiment.model, shape, 3))
    except ConfigError as error:
        return str(error)
    return None


# Two convolutions of 3x3 kernels: 5x5 pixels become maps of 3x3, then of a single pixel.
TWO = {"name": "cnn", "features": (4, 6), "pooling": "none", "norm": "batch"}


@pytest.mark.parametrize(
    ("train", "model", "named"),
    [
        ({}, {}, ("layer conv2/norm;", "config.train.batch_size=1")),
        ({}, {"order": "conv-activation-norm"}, ("layer conv2/norm;",)),
        (
            {},
            {"order": "norm-activation-conv", "pooling": ("max", "none"), "pool_window": 3, "kernel_size": (3, 1)},
            ("layer conv2/norm;",),
        ),
        ({}, {"features": (4, 6, 8), "kernel_size": (3, 3, 1)}, ("layer conv2/norm and 1 more;",)),
        (
            {"batch_size": 4, "accumulate": 4},
            {},
            ("config.train.batch_size=4 / config.train.accumulate=4:", "use config.train.batch_size=8 or more"),
        ),
        (
            {"batch_size": 8},
            {"norm_images": 1},
            ("config.model.norm_images=1:", "layer conv2/norm;", "use config.model.norm_images=2 or more"),
        ),
        ({"batch_size": 8, "accumulate": 2}, {"norm_images": 1}, ("config.model.norm_images=1",)),
    ],
)
def test_batch_norm_of_single_values_is_refused(train, model, named):
    message = check(TWO | model, **train)
    assert message is not None
    assert [part for part in named if part not in message] == []


@pytest.mark.parametrize(
    ("train", "model", "shape"),
    [
        ({"batch_size": 2}, {}, (5, 5, 1)),
        ({}, {}, (6, 5, 1)),  # maps of 2x1
        ({"batch_size": 4, "accumulate": 2}, {}, (5, 5, 1)),
        ({"batch_size": 4}, {"norm_images": 2}, (5, 5, 1)),
        ({}, {"norm": "none"}, (5, 5, 1)),
        ({}, {"norm": "group", "norm_groups": 2}, (5, 5, 1)),
    ],
)
def test_norms_of_two_values_pass(train, model, shape):
    assert check(TWO | model, shape, **train) is None


def test_a_frozen_norm_uses_its_running_statistics():
    assert check(TWO, pretrained={"freeze": ("conv2",)}) is None
    assert check(TWO, pretrained={"freeze": ("conv2/norm",)}) is None
    assert "layer conv2/norm" in check(TWO, pretrained={"freeze": ("conv1",)})


def test_group_norm_of_single_values_is_refused_for_any_batch():
    message = check(TWO | {"norm": "group", "norm_groups": 2, "features": (4, 2)}, batch_size=8)
    assert "config.model.norm_groups=2" in message
    assert "layer conv2/norm;" in message


@pytest.mark.parametrize(
    ("model", "side"),
    [
        ({"name": "resnet", "stem_kernel_size": 3, "norm": "batch"}, 32),
        ({"name": "resnet_cifar", "depth": 8, "stage_strides": (2, 2, 2)}, 8),
        ({"name": "googlenet_torchvision"}, 32),
        ({"name": "lenet5", "norm": "batch"}, 28),
    ],
)
def test_every_network_names_its_layers(model, side):
    shape = (side, side, 3)
    rows = geometry.summarize(parse({"model": model}).model, shape, 3).layers
    single = [row.name for row in rows if row.kind == "batch_norm" and row.input_shape[:2] == (1, 1)]
    assert f"layer {single[0]} and {len(single) - 1} more" in check(model, shape) or len(single) == 1
    assert check(model, shape, batch_size=2) is None


@pytest.mark.parametrize(
    ("epochs", "batch_size", "most"), [(1_000_000, 1, 250_000), (400_000, 1, 250_000), (600_000, 2, 500_000)]
)
def test_a_training_too_long_for_its_learning_rates_is_refused(epochs, batch_size, most):
    split = Split(np.zeros((400, 28, 28, 1), np.uint8), np.zeros(400, np.int32))
    dataset = Dataset("x", split, None, split, ("a", "b"), "")
    experiment = parse({"train": {"epochs": epochs, "batch_size": batch_size}})
    with pytest.raises(ConfigError, match=f"config.train.epochs={epochs}: .* use {most} or fewer"):
        preflight.check(experiment, dataset, 1)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"JAX_PLATFORMS": "tpu"}, "JAX_PLATFORMS=tpu: JAX .*; set JAX_PLATFORMS=cpu, or leave it out"),
        ({"JAX_PLATFORM_NAME": "tpu"}, "JAX_PLATFORM_NAME=tpu: JAX .*; set JAX_PLATFORM_NAME=cpu, or leave it out"),
        ({"JAX_PLATFORMS": "", "JAX_PLATFORM_NAME": "x"}, "JAX_PLATFORM_NAME=x: "),
        ({"JAX_PLATFORMS": "cpu", "JAX_PLATFORM_NAME": "x"}, "JAX_PLATFORMS=cpu and JAX_PLATFORM_NAME=x: "),
    ],
)
def test_a_platform_without_a_device_is_refused_by_its_variable(monkeypatch, given, told):
    def devices():
        raise RuntimeError("Unknown backend x")

    for name in ("JAX_PLATFORMS", "JAX_PLATFORM_NAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(preflight.jax, "devices", devices)
    with pytest.raises(RuntimeError, match="Unknown backend"):
        preflight.check_devices()
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError, match=told):
        preflight.check_devices()


def test_layer_norm_of_one_channel_is_refused():
    message = check(TWO | {"norm": "layer", "features": (4, 1)}, batch_size=8)
    assert "config.model.norm=layer: layer norm over one channel normalizes a single value, always to zero" in message
