"""This project: a whole run, as launch.py calls it, where there are test images; else its train steps alone."""

import io
import tempfile
from pathlib import Path

import jax
import numpy as np
import turn
from jax_device import device
from rich.console import Console

from benchmarks.networks import NETWORKS
from cnn_jax import compilation, pretrained
from cnn_jax.config import parsing
from cnn_jax.data.device import pipeline
from cnn_jax.data.split import Split
from cnn_jax.run import host_memory
from cnn_jax.train import inputs, sharding
from cnn_jax.train.inputs import Keys
from cnn_jax.train.loop import train_and_evaluate
from cnn_jax.train.metrics import means
from cnn_jax.train.step import StepConfig, create_state

OPTIMIZERS = {"adam": {"eps": turn.ADAM_EPS}, "sgd": {"momentum": turn.MOMENTUM}}


def experiment(this):
    """The config of a turn."""
    optimizer = {"name": this.optimizer, "learning_rate": this.learning_rate} | OPTIMIZERS[this.optimizer]
    return parsing.parse(
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
    step_config = StepConfig.of(config, this.classes, mesh.abstract_mesh)
    preprocessing = pipeline.preprocessing(config.data, config.augment, split)
    keys = Keys.of(config.seed)
    variables = pretrained.initial_variables(step_config.network, config, keys.init, split.image_shape)
    variables, preprocessing, keys = sharding.put((variables, preprocessing, keys), sharding.replicated(mesh))
    rates = np.full(pipeline.steps_per_epoch(len(split), this.batch_size), this.learning_rate, np.float32)
    state = compilation.compile_once(create_state, step_config, (variables,))(variables)
    parameters = sum(leaf.size for leaf in jax.tree.leaves(state.params))
    training = inputs.training(step_config, split, preprocessing, keys, state, mesh)
    loss = None

    def epoch():
        nonlocal state, loss
        state, (sums, _) = training.train_steps(state, 0, rates, 0, len(rates))
        state = state.reset("epoch_sums")
        loss = means(sums, this.classes)["loss"]

    return {"seconds": this.clock(epoch), "parameters": parameters, "loss": loss}


host_memory.keep_freed()  # as launch.py does, before JAX makes threads
this = turn.Turn(turn.parser(__doc__).parse_args())
figures = (steps_alone if this.test_images is None else whole_run)(this)
this.end(**figures, versions=f"jax {jax.__version__}", device=device())
