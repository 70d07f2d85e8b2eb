"""The function that is exported: pixels in, probabilities out."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float32, UInt8

from cnn_jax.data.device import pipeline, views
from cnn_jax.train.restore import FinishedRun

Forward = Callable[[UInt8[Array, "b h w c"]], Float32[Array, "b k"]]


def forward(run: FinishedRun) -> Forward:
    """Makes the function that a finished run's network computes in evaluation.

    Convolutions are XLA's own, whatever the run's lowering, so that the program suits every platform. Blocks do not run
    as a loop, which the formats of other programs lack. Several views of an image are computed one after another and
    averaged, as evaluation does.

    Args:
      run: Finished run; its variables become constants of the function.
    """
    plain = {"lowering": "xla", "scan": False}
    model = run.experiment.model
    model = model.model_copy(update={name: plain[name] for name in plain.keys() & type(model).model_fields.keys()})
    config = dataclasses.replace(run.config, model=model)
    network, train = config.network, config.train

    def probabilities(pixels: UInt8[Array, "b h w c"]) -> Float32[Array, "b k"]:
        with config.tracing():
            seen = views.views(pixels, train.eval_mirrored, train.eval_shift)
            logits = [
                network.apply(run.variables, pipeline.normalize(view, run.normalization), train=False)[0]
                for view in seen
            ]
            return jax.nn.softmax(sum(logits[1:], logits[0]).astype(jnp.float32) / len(logits))

    return probabilities
