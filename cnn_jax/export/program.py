"""The exported function, from pixels to probabilities."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float32, UInt8

from cnn_jax.config.parsing import ConfigError
from cnn_jax.data.device import pipeline, tta
from cnn_jax.train.restore import FinishedRun

LARGEST_FILE = 2**31 - 1
"""Bytes that a flatbuffer and a protocol buffer can hold, in which StableHLO, TFLite and ONNX are written."""
Forward = Callable[[UInt8[Array, "b h w c"]], Float32[Array, "b k"]]


def forward(run: FinishedRun) -> Forward:
    """Returns the function that a finished run's network computes in evaluation.

    Convolutions are XLA's own, whatever the run's lowering, so that the program suits every platform. Blocks are not
    run as a loop, which other formats do not support. Several views of an image are computed one after another and
    averaged, as in evaluation.

    Args:
      run: Finished run; its variables become constants of the function.
    """
    plain = {"lowering": "xla", "scan": False}
    model = run.experiment.model
    model = model.model_copy(update={name: plain[name] for name in plain.keys() & type(model).model_fields.keys()})
    config = dataclasses.replace(run.config, model=model)
    network, train = config.network, config.train
    variables = jax.tree.map(jnp.asarray, run.variables)  # a restored run has NumPy arrays

    def probabilities(pixels: UInt8[Array, "b h w c"]) -> Float32[Array, "b k"]:
        with config.tracing():
            seen = tta.views(pixels, train.eval_mirrored, train.eval_shift)
            logits = [
                network.apply(variables, pipeline.normalize(view, run.normalization), train=False)[0] for view in seen
            ]
            return jax.nn.softmax(sum(logits[1:], logits[0]).astype(jnp.float32) / len(logits))

    return probabilities


def refuse_too_large(run: FinishedRun, name: str) -> None:
    """Refuses a network whose variables do not fit into a file.

    Args:
      run: Finished run.
      name: Name of the format.

    Raises:
      ConfigError: If they have more bytes than LARGEST_FILE.
    """
    size = sum(leaf.nbytes for leaf in jax.tree.leaves(run.variables))
    if size > LARGEST_FILE:
        raise ConfigError(
            [
                f"--format={name}: the network's variables have {size:,} bytes, and such a file holds at most "
                f"{LARGEST_FILE:,}; --format=safetensors writes every network"
            ]
        )
