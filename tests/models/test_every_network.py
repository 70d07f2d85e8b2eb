"""Every network, on its smallest legal image, takes a training step under every padding dialect, and in both types."""

import functools
import re

import jax
import jax.numpy as jnp
import pytest
from support.tiny_networks import SIDE, TINY
from support.training_step import CLASSES, check_step

from cnn_jax import models
from cnn_jax.config import Augment, Experiment, Sgd, Train
from cnn_jax.config.model import (
    AlexNet,
    CifarResNet,
    Cnn,
    GoogLeNet,
    LeNet5,
    ResNet,
    SqueezeNet10,
    SqueezeNet11,
    TorchvisionAlexNet,
    TorchvisionGoogLeNet,
)
from cnn_jax.data.device.pipeline import Colours, DeviceSplit, Normalization, Preprocessing
from cnn_jax.ops import GeometryError
from cnn_jax.train.step import StepConfig, state_shape, train_steps

SLOPED = {"activation": "leaky_relu", "head_activation": "leaky_relu"}  # the last maps are of a single pixel
PADDINGS = ("VALID", "SAME", "SAME_LOWER", "TORCH", "REFLECT", "REPLICATE", "CIRCULAR")
# Narrow ones of each name, and the sides of their smallest legal images under these paddings. Stride and pooling decide
# them: a VALID ResNet-18 loses 4 pixels a block, of up to 32 of the image's each.
NETWORKS = [
    (Cnn(features=(3, 4, 4), dense=(5,)), (18, 4, 4, 4, 8, 4, 4)),
    (LeNet5(features=(2, 3, 4), dense=(5,), pad_to=None), (32, 4, 4, 4, 12, 4, 8)),
    (AlexNet(features=(4, 4, 6, 6, 4), dense=(8, 6)), (192, 64, 64, 64, 64, 64, 64)),
    (TorchvisionAlexNet(features=(4, 4, 6, 6, 4), dense=(8, 6)), (191, 63, 63, 63, 63, 63, 63)),
    (GoogLeNet(width=0.2, modules=(1, 1, 0), aux_dense=16), (175, 65, 65, 65, 65, 65, 65)),
    (
        TorchvisionGoogLeNet(width=0.2, modules=(1, 1, 0), aux_dense=16, aux_heads=True),
        (77, 23, 23, 23, 31, 23, 23),
    ),
    (SqueezeNet10(width=0.1, modules=3, pool_after=(1, 4), **SLOPED), (41, 17, 17, 17, 17, 17, 17)),
    (SqueezeNet11(width=0.1, modules=4, **SLOPED), (73, 25, 25, 25, 25, 25, 25)),
    (ResNet(width=4), (431, 1, 1, 1, 33, 1, 3)),
    (CifarResNet(depth=8, width=4), (25, 1, 1, 1, 5, 1, 1)),
]
# `test_every_padding.py` takes steps of those of `TINY` under every padding; here are two, and steps under one.
PAIRED = ("VALID", "SAME")
TINY_SIDES = {
    "zfnet": (42, 18),
    "vgg": (58, 4),
    "inception_v3": (69, 13),
    "densenet": (43, 5),
    "mobilenet_v2": (19, 1),
    "mobilenet_v3_large": (67, 1),
    "mobilenet_v3_small": (31, 1),
    "efficientnet": (19, 1),
    "convnext": (28, 16),
}
CASES = [
    pytest.param(config, padding, side, id=f"{config.name}-{padding}-{side}")
    for config, sides in NETWORKS
    for padding, side in zip(PADDINGS, sides, strict=True)
]
TINY_CASES = [
    pytest.param(config, padding, side, id=f"{config.name}-{padding}-{side}")
    for config in TINY
    for padding, side in zip(PAIRED, TINY_SIDES[config.name], strict=True)
]


def test_no_network_is_left_out():
    assert {config.name for config, _ in NETWORKS} | {config.name for config in TINY} == set(models.NETWORKS)


@pytest.mark.parametrize(("config", "padding", "side"), CASES + TINY_CASES)
def test_no_smaller_image_is_legal(config, padding, side):
    model = models.create(config.model_copy(update={"padding": padding}), CLASSES)
    assert model.layers((side, side, 3))
    if side > 1:
        with pytest.raises(GeometryError, match="layer "):
            model.layers((side - 1, side - 1, 3))


# Every network with every padding; the types in turn, so that each network and each padding, of which there is an odd
# number, is seen in both.
STEPS = [
    pytest.param(
        *case.values, compute, id=f"{case.id}-{compute}", marks=[pytest.mark.exhaustive] * ((number + turn) % 2)
    )
    for number, case in enumerate(CASES)
    for turn, compute in enumerate(("float32", "bfloat16"))
]


@pytest.mark.parametrize(("config", "padding", "side", "compute"), STEPS)
def test_a_training_step(config, padding, side, compute):
    check_step(config.model_copy(update={"padding": padding}), side, compute)


@pytest.mark.parametrize("compute", ["float32", "bfloat16"])
@pytest.mark.parametrize("config", TINY, ids=lambda config: config.name)
def test_a_training_step_of_a_tiny_network(config, compute):
    check_step(config.model_copy(update={"padding": "SAME"}), SIDE, compute)


# All that augmentation can do, but for crop_padding, which excludes shift.
EVERY_CHANGE = Augment(
    flip=True,
    shift=1,
    brightness=0.1,
    contrast=0.1,
    lighting=0.1,
    erasing=0.5,
    cutout=1,
    mixup=0.2,
    cutmix=1.0,
)


@pytest.mark.parametrize(
    ("config", "side"),
    [
        *(pytest.param(c, sides[1], id=c.name) for c, sides in NETWORKS),
        *(pytest.param(c, SIDE, id=c.name) for c in TINY),
    ],
)
def test_no_sum_depends_on_the_order_of_a_gpus_threads(config, side):
    """XLA's deterministic mode refuses select-and-scatter; a scatter whose places may collide adds in any order."""
    config = config.model_copy(update={"padding": "SAME", "lowering": "xla"})  # as "auto" chooses on a GPU
    changes = EVERY_CHANGE if config.name == "cnn" else Augment()  # once is enough
    experiment = Experiment(model=config, augment=changes, optimizer=Sgd(clip_norm=1.0), train=Train(ema_decay=0.9))
    this = StepConfig.of(experiment, CLASSES)

    def array(*shape, dtype=jnp.float32):
        return jax.ShapeDtypeStruct(shape, dtype)

    preprocessing = Preprocessing(
        Normalization(array(3), array(3)), Colours(array(3), array(3), array(3, 3)) if config.name == "cnn" else None
    )
    arguments = (
        state_shape(this, (side, side, 3)),
        DeviceSplit(array(8, side, side, 3, dtype=jnp.uint8), array(8, dtype=jnp.int32), preprocessing),
        array(4, 2, dtype=jnp.int32),
        array(4),
        (array(dtype=jnp.int32),) * 2,
        jax.eval_shape(jax.random.key, 0),
    )
    traced = jax.jit(functools.partial(train_steps, this)).trace(*arguments)
    operations = operations_on_a_gpu(traced)
    dense = set() if config.name.startswith("squeezenet") else {"dot_general"}  # its classes are a convolution's maps
    assert {"convolution", "gather", "while"} | dense <= operations
    assert not {name for name in operations if "scatter" in name}


def test_scatters_would_be_seen():
    def by_window(x):
        return jax.lax.reduce_window(x, -jnp.inf, jax.lax.max, (1, 2, 2, 1), (1, 2, 2, 1), "VALID").sum()

    def by_place(x):
        return x.at[jnp.array([0, 0])].add(1.0)

    maps = jnp.zeros((1, 4, 4, 1))
    assert "select_and_scatter" in operations_on_a_gpu(jax.jit(jax.grad(by_window)).trace(maps))
    assert "scatter" in operations_on_a_gpu(jax.jit(by_place).trace(jnp.zeros(3)))


def operations_on_a_gpu(traced):
    """Names of the operations that a program is handed to XLA with, lowered for a GPU, with none at hand."""
    return set(re.findall(r"\bstablehlo\.(\w+)", traced.lower(lowering_platforms=("cuda",)).as_text()))
