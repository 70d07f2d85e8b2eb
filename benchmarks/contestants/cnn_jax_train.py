"""This project: a whole run, as launch.py calls it, where there are test images; else its train steps alone."""

import dataclasses
import io
import tempfile
from pathlib import Path

import jax
import numpy as np
import turn
from jax_device import device
from rich.console import Console

from benchmarks.networks import NETWORKS
from cnn_jax import config_parse, models
from cnn_jax.data import pipeline
from cnn_jax.data.split import Split
from cnn_jax.train import optim, programs, sharding, steps
from cnn_jax.train.loop import train_and_evaluate
from cnn_jax.train.metrics import Sums, means
from cnn_jax.train.training import Training

OPTIMIZERS = {"adam": {"eps": turn.ADAM_EPS}, "sgd": {"momentum": turn.MOMENTUM}}


def experiment(this):
    """The config of a turn."""
    optimizer = {"name": this.optimizer, "learning_rate": this.learning_rate} | OPTIMIZERS[this.optimizer]
    return config_parse.parse(
        {
            "model": {**NETWORKS[this.network].model, "compute": this.precision},
            "optimizer": optimizer,
            "train": {"batch_size": this.batch_size, "epochs": this.epochs},
        }
    )


def whole_run(this):
    """Data, checkpoints and records are part of the time; compiling is not."""
    with tempfile.TemporaryDirectory() as folder:
        result = train_and_evaluate(experiment(this), Path(folder) / "run", console=Console(file=io.StringIO()))
    return {
        "seconds": result["seconds"]["total"] - result["seconds"]["compile"],
        "parameters": result["parameters"],
        "loss": result["test_loss"],
        "accuracy": result["test_accuracy"],
    }


def steps_alone(this):
    """The program of the training loop, called as the loop calls it."""
    config, split, mesh = experiment(this), Split(this.images, this.labels), sharding.data_mesh()
    model = models.create(config.model, this.classes)
    recipe = steps.Recipe(config, model, optim.optimizer(config.optimizer), this.classes)
    key = jax.random.key(0)
    constants = jax.device_put(pipeline.normalization(config.data, split), sharding.replicated(mesh))
    rates = np.full(pipeline.steps_per_epoch(len(split), this.batch_size), this.learning_rate, np.float32)
    state = programs.first_state(recipe, model.init(key, split.images.shape[1:]), mesh)
    parameters = sum(leaf.size for leaf in jax.tree.leaves(state.params))
    advance = programs.train_steps(Training(recipe, state, split, constants, None, rates, key, key), mesh)
    loss = None

    def epoch():
        nonlocal state, loss
        state, (sums, _) = advance(state, 0, rates, 0, len(rates))
        state = dataclasses.replace(state, epoch_sums=Sums.zero())
        loss = means(sums, this.classes)["loss"]

    return {"seconds": this.clock(epoch), "parameters": parameters, "loss": loss}


this = turn.Turn(turn.parser(__doc__).parse_args())
figures = (steps_alone if this.test_images is None else whole_run)(this)
this.end(**figures, versions=f"jax {jax.__version__}", device=device())
