"""Every experiment file is a config that works: two training steps on images of its data's shape."""

import functools
from pathlib import Path

import jax
import numpy as np
import pytest
from support.quick_programs import QUICK

from cnn_jax import geometry
from cnn_jax.config import Records, experiment_file, parsing
from cnn_jax.data.device import augment, pipeline
from cnn_jax.data.split import Split
from cnn_jax.train import optimizer
from cnn_jax.train.step import StepConfig, create_state, train_step

FILES = sorted((Path(__file__).parents[1] / "experiments").glob("*.py"))
# Two images a step, normalised together, by XLA's convolutions, which compile in a tenth of the time; large ones are
# shown in part, which changes no layer but AlexNet's first dense one. All else is the file's.
PART = 96  # pixels
QUICKLY = {"train.batch_size": 2, "model.norm_images": None, "model.lowering": "xla"}


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_two_steps(file):
    experiment = parsing.parse(parsing.override(experiment_file.load_config(file), QUICKLY))
    large = isinstance(experiment.data, Records)
    shape = (experiment.data.image_size, experiment.data.image_size, experiment.data.channels) if large else (28, 28, 1)
    classes = 1000 if large else 10
    assert geometry.summarize(experiment.model, shape, classes).parameters
    assert not augment.unfit(experiment.augment, shape)
    shape = (min(shape[0], PART), min(shape[1], PART), shape[2])

    rng = np.random.default_rng(0)
    split = Split(rng.integers(0, 256, (4, *shape), np.uint8), rng.integers(0, classes, 4, np.int32))
    config = StepConfig.of(experiment, classes)
    before = create_state(config, jax.jit(config.network.init, static_argnums=1)(jax.random.key(0), shape))
    peak, epochs = experiment.optimizer.learning_rate, experiment.train.epochs
    rates = optimizer.learning_rates(
        experiment.schedule, peak, epochs, pipeline.steps_per_epoch(len(split), experiment.train.batch_size)
    )[0]
    preprocessing = pipeline.preprocessing(experiment.data, experiment.augment, split)

    # One by one: inside the loop of `train_steps` XLA's convolutions are slow.
    compiled, after = jax.jit(functools.partial(train_step, config), compiler_options=QUICK), before
    for number, some in enumerate((slice(0, 2), slice(2, 4))):
        batch = pipeline.Batch(split.images[some], split.labels[some], np.ones(2, np.float32), preprocessing)
        after, _ = compiled(after, batch, rates[number], jax.random.key(0))
    assert int(after.step) == 2
    assert int(after.epoch_sums.examples) == 4
    assert np.isfinite(after.epoch_sums.loss)
    changed = [
        np.any(old != new) for old, new in zip(*map(jax.tree.leaves, (before.params, after.params)), strict=True)
    ]
    assert np.mean(changed) > 0.9  # units that are dead for these few images leave some as they were
