"""The experiment's config: frozen, typed sections, parsed and validated, with the nearest fix of each fault."""

from cnn_jax.config.data import Csv, Data, FashionMnist, Idx, ImageFolder, InMemory, Mnist, Records
from cnn_jax.config.experiment import (
    Augment,
    Checkpoint,
    Experiment,
    Log,
    Pretrained,
    Train,
    impossible_combinations,
)
from cnn_jax.config.model import Cnn, Model
from cnn_jax.config.optimizer import Adam, AdamW, Constant, Cosine, OneCycle, Optimizer, Schedule, Sgd, Step
from cnn_jax.config.parsing import ConfigError, override, parse

__all__ = [
    "Adam",
    "AdamW",
    "Augment",
    "Checkpoint",
    "Cnn",
    "ConfigError",
    "Constant",
    "Cosine",
    "Csv",
    "Data",
    "Experiment",
    "FashionMnist",
    "Idx",
    "ImageFolder",
    "InMemory",
    "Log",
    "Mnist",
    "Model",
    "OneCycle",
    "Optimizer",
    "Pretrained",
    "Records",
    "Schedule",
    "Sgd",
    "Step",
    "Train",
    "impossible_combinations",
    "override",
    "parse",
]
