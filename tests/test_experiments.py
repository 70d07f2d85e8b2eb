"""Every experiment file is a config that works: two training steps on images of its data's shape."""

from pathlib import Path

import jax
import numpy as np
import pytest
from peers.compare import QUICK

from cnn_jax import config_parse, experiment_file, geometry, models
from cnn_jax.config import Records
from cnn_jax.data import augment, pipeline
from cnn_jax.data.split import Split
from cnn_jax.train import optim, state, steps

FILES = sorted((Path(__file__).parents[1] / "experiments").glob("*.py"))
# Two images a step, normalised together, by XLA's convolutions, which compile in a tenth of the time; large ones are
# shown in part, which changes no layer but AlexNet's first dense one. All else is the file's.
PART = 96  # pixels
QUICKLY = {"train.batch_size": 2, "model.norm_images": None, "model.lowering": "xla"}


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_two_steps(file):
    experiment = config_parse.parse(config_parse.override(experiment_file.load_config(file), QUICKLY))
    large = isinstance(experiment.data, Records)
    shape = (experiment.data.image_size, experiment.data.image_size, experiment.data.channels) if large else (28, 28, 1)
    classes = 1000 if large else 10
    assert geometry.summarize(experiment.model, shape, classes).parameters
    assert not augment.unfit(experiment.augment, shape)
    shape = (min(shape[0], PART), min(shape[1], PART), shape[2])

    rng = np.random.default_rng(0)
    split = Split(rng.integers(0, 256, (4, *shape), np.uint8), rng.integers(0, classes, 4, np.int32))
    model = models.create(experiment.model, classes)
    recipe = steps.Recipe(experiment, model, optim.optimizer(experiment.optimizer), classes)
    variables = jax.jit(model.init, static_argnums=1)(jax.random.key(0), shape)
    before = state.create(recipe.optimizer, variables, ema=experiment.train.ema_decay > 0)
    rates = optim.learning_rates(experiment.schedule, experiment.optimizer.learning_rate, experiment.train.epochs, 2)
    constants = pipeline.normalization(experiment.data, split)
    colours = pipeline.colours(split) if augment.wants_colours(experiment.augment) else None

    def step(now, pixels, labels, rate, key):
        """As `steps.train_steps` takes one; inside its loop XLA's convolutions are slow."""
        targets = jax.nn.one_hot(labels, classes)
        images, targets = augment.augment(key, pixels, targets, experiment.augment, constants, colours)
        return steps.train_step(recipe, now, pipeline.Batch(images, targets, jax.numpy.ones(2)), rate, key)

    compiled, after = jax.jit(step, compiler_options=QUICK), before
    for number, some in enumerate((slice(0, 2), slice(2, 4))):
        after = compiled(after, split.images[some], split.labels[some], rates[number], jax.random.key(number))
    assert int(after.step) == 2
    assert int(after.epoch_sums.examples) == 4
    assert np.isfinite(after.epoch_sums.loss)
    changed = [
        np.any(old != new) for old, new in zip(*map(jax.tree.leaves, (before.params, after.params)), strict=True)
    ]
    assert np.mean(changed) > 0.9  # units that are dead for these few images leave some as they were
