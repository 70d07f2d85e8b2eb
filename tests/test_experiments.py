"""Every experiment file is a config that works: two training steps on images of its data's shape."""

import functools
from pathlib import Path

import jax
import numpy as np
import pytest
from support.quick_programs import QUICK

from cnn_jax import geometry
from cnn_jax.config import experiment_file, parsing
from cnn_jax.data.device import augment, pipeline
from cnn_jax.data.sources.declared import declared
from cnn_jax.data.split import Split
from cnn_jax.train import optimizer
from cnn_jax.train.step import StepConfig, create_state, train_step

FOLDER = Path(__file__).parents[1] / "experiments"
FILES = sorted(FOLDER.glob("*.py"))
# Two images a step, normalised together, by XLA's convolutions, which compile in a tenth of the time; large ones are
# shown in part, which changes no layer but AlexNet's first dense one. All else is the file's.
PART = 96  # pixels
QUICKLY = {"train.batch_size": 2, "model.norm_images": None, "model.lowering": "xla"}
# The largest networks are made narrower, once their geometry has been checked.
NARROWER = {
    "alexnet_imagenet": {"model.dense": (64, 64)},
    "fashion_mnist_best": {"model.widen": 1},
    "googlenet_imagenet": {"model.width": 0.25},
    "resnet50_imagenet": {"model.width": 16},
    "resnet152_imagenet": {"model.width": 16},
}


# Deep networks that take half a minute to compile (tests/models and tests/peers take steps of their kinds), and the
# parameters that torchvision's have, or the papers tell in millions.
PARAMETERS = {
    "densenet121_imagenet": 7_978_856,
    "convnext_tiny_imagenet": 28_589_128,
    "mobilenet_v2_imagenet": 3_504_872,
    "resnext50_imagenet": 25_028_904,
    "resnet152_imagenet": 60_192_808,
    "vgg16_imagenet": 138_357_544,
    "inception_v3_imagenet": 27_161_264,
    "mobilenet_v3_large_imagenet": 5_483_032,
    "efficientnet_b0_imagenet": 5_288_548,
    "densenet_cifar10": 0.8,
    "wide_resnet_cifar10": 36.5,
}


@pytest.mark.parametrize("name", PARAMETERS)
def test_networks_have_the_published_sizes(name):
    experiment = parsing.parse(experiment_file.load_config(FOLDER / f"{name}.py"))
    shape, classes = declared(experiment.data)
    found = geometry.summarize(experiment.model, shape, classes).parameters
    published = PARAMETERS[name]
    assert (found if published > 1000 else round(found / 1e6, 1)) == published
    assert not augment.unfit(experiment.augment, shape)


def test_small_networks_cost_alike():
    file = FOLDER / "newer_networks.py"
    config, sweep = experiment_file.load_config(file), experiment_file.load_sweep(file)
    networks = {point["model"].name: dict(point["model"].value) for point in sweep.trials}
    assert len(networks) == 9
    for name, network in networks.items():
        model = parsing.parse({**config, "model": network}).model
        assert 4e6 < geometry.summarize(model, (28, 28, 1), 10).multiply_adds < 10e6, name


# ResNet-152 is ResNet-50 with more blocks.
STEPS = [
    pytest.param(file, id=file.stem, marks=[pytest.mark.exhaustive] * (file.stem == "resnet152_imagenet"))
    for file in FILES
    if file.stem not in PARAMETERS or file.stem == "resnet152_imagenet"
]


@pytest.mark.parametrize("file", STEPS)
def test_two_steps(file):
    config = experiment_file.load_config(file)
    experiment = parsing.parse(parsing.override(config, QUICKLY))
    shape, classes = declared(experiment.data)
    assert geometry.summarize(experiment.model, shape, classes).parameters
    assert not augment.unfit(experiment.augment, shape)
    experiment = parsing.parse(parsing.override(config, QUICKLY | NARROWER.get(file.stem, {})))
    shape = (min(shape[0], PART), min(shape[1], PART), shape[2])

    rng = np.random.default_rng(0)
    split = Split(rng.integers(0, 256, (4, *shape), np.uint8), rng.integers(0, classes, 4, np.int32))
    this = StepConfig.of(experiment, classes)
    before = jax.jit(lambda key: create_state(this, this.network.init(key, shape)))(jax.random.key(0))
    peak, epochs = experiment.optimizer.learning_rate, experiment.train.epochs
    rates = optimizer.learning_rates(
        experiment.schedule, peak, epochs, pipeline.steps_per_epoch(len(split), experiment.train.batch_size)
    )[0]
    preprocessing = pipeline.preprocessing(experiment.data, experiment.augment, split)

    # One by one: inside the loop of `train_steps` XLA's convolutions are slow.
    compiled, after = jax.jit(functools.partial(train_step, this), compiler_options=QUICK), before
    for number, some in enumerate((slice(0, 2), slice(2, 4))):
        batch = pipeline.Batch(split.images[some], split.labels[some], np.ones(2, np.float32), preprocessing)
        after, _ = compiled(after, batch, rates[number], jax.random.key(0))
    assert int(after.step) == 2
    assert int(after.epoch_sums.examples) == 4
    assert np.isfinite(after.epoch_sums.loss)
    params = jax.tree.map(np.asarray, (before.params, after.params))  # JAX compares each shape by a program of its own
    changed = [np.any(old != new) for old, new in zip(*map(jax.tree.leaves, params), strict=True)]
    assert np.mean(changed) > 0.9  # units that are dead for these few images leave some as they were
