"""Initial variables of a network: drawn, or published ones with the head that the config asks for."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
from jaxtyping import PRNGKeyArray

from cnn_jax import models
from cnn_jax.blocks.policy import is_in_any
from cnn_jax.config import Experiment, Pretrained
from cnn_jax.pretrained.convert import adapted, from_torch
from cnn_jax.pretrained.errors import WeightsError
from cnn_jax.pretrained.files import read_entries
from cnn_jax.words import did_you_mean


def initial_variables(
    model: models.Model, experiment: Experiment, key: PRNGKeyArray, image_shape: tuple[int, int, int]
) -> models.Variables:
    """Gives the variables before the first step.

    Args:
      model: Network of the experiment, with as many classes as the data.
      experiment: Config: the network, the weights to start from, and what becomes of their head.
      key: Random key of what is drawn.
      image_shape: (height, width, channels) in pixels.

    Returns:
      {"params": ..., and "batch_stats": ... where the network normalises by batch}.

    Raises:
      WeightsError: where the file cannot be read or does not fit; every entry at fault is listed.
    """
    drawn, pretrained = _drawn(model, key, image_shape), experiment.pretrained
    if pretrained.weights is None:
        return drawn
    path = Path(pretrained.weights).expanduser()
    try:
        entries = read_entries(path)
    except WeightsError as error:
        raise WeightsError(f"config.pretrained.weights: {error}") from error
    try:
        entries = adapted(entries, experiment.model, image_shape[2])
        loaded = from_torch(entries, experiment.model, with_logits=pretrained.head == "keep")
    except WeightsError as error:
        raise WeightsError(f"config.pretrained.weights: {path}: {error}") from error
    return _with_head(drawn, loaded, pretrained)


@functools.partial(jax.jit, static_argnums=(0, 2))
def _drawn(model: models.Model, key: PRNGKeyArray, image_shape: tuple[int, int, int]) -> models.Variables:
    return model.init(key, image_shape)


def _with_head(drawn: models.Variables, loaded: Mapping[str, Any], pretrained: Pretrained) -> models.Variables:
    """Takes every layer from the weights, but those that make logits where a new head is wanted."""
    weights = dict(jax.tree_util.tree_leaves_with_path(loaded))

    def choose(path: Any, mine: jax.Array) -> jax.Array:
        if pretrained.head == "new" and any(getattr(key, "key", None) == "logits" for key in path):
            return mine
        theirs = weights[path]
        if theirs.shape != mine.shape:
            raise WeightsError(
                f"config.pretrained.weights: {jax.tree_util.keystr(path)} is {theirs.shape}, the network's is "
                f"{mine.shape}: with config.pretrained.head=keep the data must have the weights' classes; "
                "set config.pretrained.head=new"
            )
        return jax.numpy.asarray(theirs)

    return jax.tree_util.tree_map_with_path(choose, drawn)


def check_frozen(freeze: tuple[str, ...], layers: tuple[str, ...]) -> list[str]:
    """Lists what is wrong with the names of frozen layers.

    Args:
      freeze: Field `freeze` of the config.
      layers: Paths of the network's layers that own parameters.

    Returns:
      One message for each name that no layer has or lies below.
    """
    known = sorted(
        {"/".join(layer.split("/")[: depth + 1]) for layer in layers for depth in range(layer.count("/") + 1)}
    )
    faults = []
    for name in freeze:
        if name not in known:
            hint = did_you_mean(name, known, least=0.5) or f"; the network has {', '.join(known[:6])}, ..."
            faults.append(f"config.pretrained.freeze: no layer is named {name!r}{hint}")
    if not faults and freeze and all(is_in_any(tuple(layer.split("/")), freeze) for layer in layers):
        faults.append("config.pretrained.freeze leaves no layer that learns; leave out the head")
    return faults
