"""Whole networks with torchvision's names beside torchvision."""

import json
import subprocess
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from golden_weights import weights_of

from cnn_jax import models
from cnn_jax.pretrained import from_torch, to_torch
from cnn_jax.pretrained.published import PUBLISHED
from peers.torchvision_networks import TRAINED, images_of, sides
from peers.torchvision_outputs import LABELS

# Without dropout and stochastic depth, whose random choices are the library's own.
CALM = {"dropout": 0.0, "drop_path": 0.0, "lowering": "xla"}
WEIGHED = 1e-5  # of the largest gradient: what a bias before batch norm gets of rounding


def calm(config):
    return config.model_copy(update={field: value for field, value in CALM.items() if hasattr(config, field)})


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_network_is_torchvisions(name, pytestconfig, tmp_path):
    peers = pytestconfig.getoption("--peers")
    if not peers:
        pytest.fail("--peers=PYTHON is missing; `make test-peers` passes it")
    words = [str(Path(peers)), "-m", "peers.torchvision_networks", str(tmp_path), name]
    subprocess.run(words, cwd=Path(__file__).parents[1], check=True, capture_output=True)
    shapes = json.loads((tmp_path / f"{name}.json").read_text())
    expected = np.load(tmp_path / f"{name}.npz")
    weights = {entry: weights_of(entry, tuple(shape)) for entry, shape in shapes.items()}
    config = calm(PUBLISHED[name].config_for(weights, "torchvision"))
    variables = from_torch(weights, config)
    assert to_torch(variables, config).keys() == weights.keys()
    model = models.create(config, 1000)
    side, training_side = sides(name)
    images = images_of(side, 2).transpose(0, 2, 3, 1)
    logits = jax.jit(lambda v, x: model.apply(v, x, train=False)[0])(variables, images)
    assert np.abs(logits - expected["logits"]).max() < 1e-4 * expected["logits"].std()
    if name in TRAINED:
        compare_training(model, config, variables, images_of(training_side, 4).transpose(0, 2, 3, 1), expected)


def compare_training(model, config, variables, images, expected):
    def loss_of(params):
        now = {**variables, "params": params}
        logits, aux_logits, batch_stats = model.apply(now, jnp.asarray(images), train=True)
        losses = [
            optax.softmax_cross_entropy_with_integer_labels(each, jnp.array(LABELS)).mean()
            for each in (logits, *aux_logits)
        ]
        return sum(losses), batch_stats

    (loss, batch_stats), gradients = jax.jit(jax.value_and_grad(loss_of, has_aux=True))(variables["params"])
    assert float(loss) == pytest.approx(float(expected["loss"]), rel=1e-3)
    got = to_torch({"params": gradients, "batch_stats": batch_stats}, config)
    norms = {entry: float(expected[entry]) for entry in expected.files if entry.startswith("gradnorm/")}
    for entry, norm in norms.items():
        ours = float(np.linalg.norm(got[entry.removeprefix("gradnorm/")]))
        assert ours == pytest.approx(norm, rel=1e-2, abs=WEIGHED * max(norms.values())), entry
    for entry in (each for each in expected.files if each.startswith("buffer/")):
        name = entry.removeprefix("buffer/")
        np.testing.assert_allclose(got[name], expected[entry], rtol=1e-3, atol=1e-4, err_msg=entry)
