"""Fine-tuning by config: published weights, a new head, frozen layers; and what is refused."""

import io

import jax
import numpy as np
import pytest
from rich.console import Console
from safetensors.numpy import save_file

from cnn_jax import models
from cnn_jax.config import Pretrained
from cnn_jax.config.model import NETWORKS
from cnn_jax.config.parsing import ConfigError, parse
from cnn_jax.pretrained import WeightsError, check_frozen, initial_variables, to_torch
from cnn_jax.pretrained.names import NAMES
from cnn_jax.train import restore
from cnn_jax.train.loop import train_and_evaluate

MODEL = {"name": "resnet", "width": 2, "stem_kernel_size": 3, "stem_strides": 1, "stem_pooling": "none"}


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """A file of weights for colour pictures of seven classes."""
    config = parse({"model": MODEL}).model
    variables = jax.jit(models.create(config, 7).init, static_argnums=1)(jax.random.key(5), (32, 32, 3))
    path = tmp_path_factory.mktemp("weights") / "resnet.safetensors"
    entries = to_torch(variables, config)
    save_file({name: np.ascontiguousarray(array) for name, array in entries.items()}, path)
    return path, entries


def experiment(line_data, **pretrained):
    return parse(
        {
            "data": line_data,
            "model": MODEL | {"lowering": "xla"},
            "pretrained": pretrained,
            "optimizer": {"name": "sgd", "learning_rate": 0.05, "weight_decay": 1e-2, "weight_decay_mask": "all"},
            "train": {"epochs": 1, "batch_size": 100},
            "log": {"tensorboard": False},
        }
    )


def train(config, workdir):
    train_and_evaluate(config, workdir, console=Console(file=io.StringIO()))
    return restore.load(workdir).variables


def test_frozen_layers_keep_the_weights_and_a_new_head_learns(weights, line_data, tmp_path):
    path, entries = weights
    blocks = tuple(f"stage{stage}_block{number}" for stage in (1, 2, 3, 4) for number in (1, 2))
    config = experiment(line_data, weights=str(path), freeze=("stem", *blocks[:-1]))
    variables = train(config, tmp_path / "run")
    stem = variables["params"]["stem"]["kernel"]
    # grey pictures see the sum over the colours
    np.testing.assert_array_equal(stem, entries["conv1.weight"].sum(1, keepdims=True).transpose(2, 3, 1, 0))
    block = variables["params"]["stage2_block1"]["conv1"]
    np.testing.assert_array_equal(block["kernel"], entries["layer2.0.conv1.weight"].transpose(2, 3, 1, 0))
    np.testing.assert_array_equal(block["norm"]["scale"], entries["layer2.0.bn1.weight"])
    statistics = variables["batch_stats"]["stage2_block1"]["conv1"]["norm"]
    np.testing.assert_array_equal(statistics["mean"], entries["layer2.0.bn1.running_mean"])
    free = variables["params"]["stage4_block2"]["conv1"]["kernel"]
    assert np.any(free != entries["layer4.1.conv1.weight"].transpose(2, 3, 1, 0))
    assert variables["params"]["head"]["logits"]["kernel"].shape == (16, 3)


def test_a_new_head_does_not_need_the_weights_logits(weights, line_data, tmp_path):
    _, entries = weights
    headless = {name: np.ascontiguousarray(array) for name, array in entries.items() if not name.startswith("fc.")}
    path = tmp_path / "headless.safetensors"
    save_file({f"model._orig_mod.{name}": array for name, array in headless.items()}, path)
    config = parse({"model": MODEL})

    def initial(**fields):
        experiment = config.model_copy(update={"pretrained": Pretrained(**fields)})
        return initial_variables(models.create(config.model, 3), experiment, jax.random.key(1), (32, 32, 3))

    drawn, started = initial(), initial(weights=str(path))
    jax.tree.map(np.testing.assert_array_equal, started["params"]["head"], drawn["params"]["head"])
    np.testing.assert_array_equal(started["params"]["stem"]["kernel"], entries["conv1.weight"].transpose(2, 3, 1, 0))
    with pytest.raises(
        WeightsError, match=r"2 missing: fc\.bias, fc\.weight\nconfig\.pretrained\.head=new draws the last layer"
    ):
        initial(weights=str(path), head="keep")


def test_a_kept_head_needs_the_weights_classes(weights, line_data, tmp_path):
    path, _ = weights
    with pytest.raises(
        WeightsError, match=r"with config\.pretrained\.head=keep the data must have the weights' classes"
    ):
        train(experiment(line_data, weights=str(path), head="keep"), tmp_path / "run")
    assert not (tmp_path / "run" / "config.json").exists()


def test_what_cannot_be_started_from_is_refused(weights, line_data, tmp_path):
    path, entries = weights
    with pytest.raises(WeightsError, match=r"config\.pretrained\.weights: .*nowhere\.pth: there is no file"):
        train(experiment(line_data, weights=str(tmp_path / "nowhere.pth")), tmp_path / "run")
    short = {name: np.ascontiguousarray(array) for name, array in entries.items() if name != "bn1.weight"}
    save_file(short, tmp_path / "short.safetensors")
    with pytest.raises(WeightsError, match=r"1 missing: bn1\.weight"):
        train(experiment(line_data, weights=str(tmp_path / "short.safetensors")), tmp_path / "run")
    with pytest.raises(ConfigError, match=r"no layer is named 'stage2_blok1'; did you mean 'stage2_block1'\?"):
        train(experiment(line_data, freeze=("stage2_blok1",)), tmp_path / "run")
    with pytest.raises(
        ConfigError, match=r"there are no published weights for config\.model\.name=cnn, only for alexnet_"
    ):
        parse({"model": {"name": "cnn"}, "pretrained": {"weights": str(path)}})


def test_the_config_and_the_converter_know_the_same_networks():
    assert {name for name, entry in NETWORKS.items() if entry.config.published} == set(NAMES)


def test_frozen_names_hold_for_all_below_them():
    layers = ("stem", "stem/norm", "block/conv1", "block/conv1/norm", "head/logits")
    assert check_frozen(("stem", "block", "block/conv1"), layers) == []
    assert check_frozen((), layers) == []
    (fault,) = check_frozen(("stem", "block", "head"), layers)
    assert "leaves no layer that learns" in fault
    assert len(check_frozen(("x1", "y2"), layers)) == 2
