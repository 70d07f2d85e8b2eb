"""The lecture's "+1", measured: how much of the loss's gradient reaches the first layer before any training.

    python -m scripts.first_layer_gradients

Plain and residual networks of depth 20 and 56 by `experiments/plain_and_residual.py`, with batch norm and without:
the L2 norm of the first convolution's gradient over that of the last layer's, so that the scale of the loss drops out,
for 128 images of Fashion-MNIST and three seeds.
"""

from __future__ import annotations

from pathlib import Path

import jax
import jax.numpy as jnp
import optax
from rich.console import Console
from rich.table import Table

from cnn_jax import data, models
from cnn_jax.config import experiment_file, parsing
from cnn_jax.data.device import pipeline

EXPERIMENT = Path(__file__).parents[1] / "experiments" / "plain_and_residual.py"
IMAGES = 128
SEEDS = (0, 1, 2)


def ratios(overrides: dict[str, object]) -> list[float]:
    """The first layer's gradient over the last one's, for each seed.

    Args:
      overrides: Overrides of the experiment, dotted names to values.
    """
    experiment = parsing.parse(parsing.override(experiment_file.load_config(EXPERIMENT), overrides))
    train = data.load(experiment.data, experiment.seed).train
    model = models.create(experiment.model, 10)
    images = pipeline.normalize(jnp.asarray(train.images[:IMAGES]), pipeline.normalization(experiment.data, train))
    labels = jnp.asarray(train.labels[:IMAGES])

    def gradient_norms(key: jax.Array) -> tuple[jax.Array, jax.Array]:
        variables = model.init(key, (28, 28, 1))

        def loss(params: object) -> jax.Array:
            now = {"params": params, "batch_stats": variables.get("batch_stats", {})}
            logits, _, _ = model.apply(now, images, train=True)
            return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()

        gradients = jax.grad(loss)(variables["params"])
        first, last = gradients["stem"]["kernel"], gradients["head"]["logits"]["kernel"]
        return jnp.linalg.norm(first.ravel()), jnp.linalg.norm(last.ravel())

    compiled = jax.jit(gradient_norms)
    return [float(first / last) for first, last in (compiled(jax.random.key(seed)) for seed in SEEDS)]


def main() -> None:
    """Prints the table."""
    table = Table("network", "norm", "depth", "first / last gradient, seeds " + ", ".join(map(str, SEEDS)))
    for norm in ("batch", "none"):
        for shortcut, name in (("none", "plain"), ("padded", "residual")):
            for depth in (20, 56):
                overrides = {"model.norm": norm, "model.shortcut": shortcut, "model.depth": depth}
                figures = ratios(overrides | {"model.lowering": "xla"})
                table.add_row(name, norm, str(depth), "  ".join(f"{figure:.3g}" for figure in figures))
    Console().print(table)


if __name__ == "__main__":
    main()
