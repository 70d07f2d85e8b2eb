"""Several devices: the same run as on one, up to the order of float32 sums."""

import jax
import pytest
from jax.sharding import PartitionSpec
from support.training_processes import train, train_all

from cnn_jax.config.parsing import parse
from cnn_jax.geometry import preflight
from cnn_jax.train import sharding
from cnn_jax.train.step import StepConfig, state_shape


def test_four_devices_train_as_one(line_data, tmp_path):
    # 500 images in batches of 32: the last batch has 20, so that devices hold unequal parts of it
    experiment = {
        "data": line_data,
        "model": {"features": (8,), "pooling": "max", "dense": ()},
        "augment": {"shift": 1, "erasing": 0.5, "mixup": 0.2, "cutmix": 1.0},
        "train": {"epochs": 2, "batch_size": 32, "eval_batch_size": 50},
        "log": {"tensorboard": False},
    }
    one, four = (train(experiment, tmp_path / str(devices), devices) for devices in (1, 4))
    assert four["test_accuracy"] == pytest.approx(one["test_accuracy"], abs=1 / 150 + 1e-9)  # one image at most
    # sums over images are taken in another order: float32 rounding, grown over 32 steps of Adam
    assert four["test_loss"] == pytest.approx(one["test_loss"], rel=1e-4)


def test_a_batch_that_devices_cannot_share_is_refused(line_data, tmp_path):
    refusal = train({"data": line_data, "train": {"batch_size": 30}}, tmp_path, 4)
    assert refusal == "config.train.batch_size=30 does not divide over 4 devices; the nearest are 28 or 32"


FAMILIES = {
    "cnn": {"features": (8,), "pooling": "max", "dense": (8,), "norm": "batch", "dropout": 0.2},
    # Parts of a batch of 16: 4 are fewer than 8 devices, one for each of 4; 8 are one for each of 8, two for each of 4.
    "cnn_norm_of_4": {"features": (8,), "pooling": "max", "dense": (8,), "norm": "batch", "norm_images": 4},
    "cnn_norm_of_2": {"features": (8,), "pooling": "max", "dense": (8,), "norm": "batch", "norm_images": 2},
    "lenet5": {"name": "lenet5", "features": (2, 6, 4), "dense": (8,)},
    "alexnet": {
        "name": "alexnet", "features": (4, 8, 8, 8, 8), "dense": (16, 16), "stem_padding": "SAME",
        "stem_kernel_size": 3, "stem_strides": 1, "pool_padding": "SAME",
    },
    "googlenet": {
        "name": "googlenet", "width": 0.05, "modules": (1, 1, 1), "stem_kernel_size": 3, "stem_strides": 1,
        "stem_pools": (True, False), "norm": "batch", "aux_heads": False,
    },
    "resnet": {
        "name": "resnet", "depth": 18, "width": 4, "stem_kernel_size": 3, "stem_strides": 1, "stem_pooling": "none",
    },
    "resnet_cifar": {"name": "resnet_cifar", "depth": 8, "width": 4},
}  # fmt: skip


# A process only changes how a batch reaches the devices, and which of them share a norm's statistics.
OF_TWO_PROCESSES = ("cnn", "cnn_norm_of_4", "cnn_norm_of_2", "resnet_cifar", "split")


@pytest.mark.parametrize(
    "of_two_processes", [OF_TWO_PROCESSES, pytest.param((*FAMILIES, "split"), marks=pytest.mark.exhaustive)], ids=len
)
def test_every_family_trains_on_several_devices_as_on_one(line_data, tmp_path, of_two_processes):
    shared = {
        "data": line_data | {"train_examples": 120},
        "optimizer": {"name": "sgd", "learning_rate": 0.01, "momentum": 0.9},
        "train": {"epochs": 1, "batch_size": 16, "eval_batch_size": 80},
        "log": {"tensorboard": False},
    }
    experiments = {name: shared | {"model": {"lowering": "xla"} | model} for name, model in FAMILIES.items()}
    split = {"accumulate": 2, "shard_optimizer": True, "shard_dense": True, "ema_decay": 0.9}
    dense = {"features": (16,), "pooling": "max", "dense": (1024,), "lowering": "xla"}
    experiments["split"] = shared | {"model": dense, "train": shared["train"] | split}
    one, eight = (train_all(experiments, tmp_path / str(devices), devices) for devices in (1, 8))
    refused = {name: result for name, result in one.items() if isinstance(result, str)}
    assert refused == {}
    assert len(eight) == len(FAMILIES) + 1
    two_by_two = train_all({name: experiments[name] for name in of_two_processes}, tmp_path / "2x2", 4, processes=2)
    assert len(two_by_two) == len(of_two_processes)
    for ours in (eight, two_by_two):
        for name, result in ours.items():
            # float32 sums in another order: seen are differences of one unit in the last place, 1e-7
            assert result["test_loss"] == pytest.approx(one[name]["test_loss"], rel=1e-5), name
            assert result["test_accuracy"] == pytest.approx(one[name]["test_accuracy"], abs=1 / 150 + 1e-9), name


def test_what_is_split_over_devices():
    mesh = jax.sharding.AbstractMesh((4,), ("data",))
    model = {"features": (6,), "pooling": "max", "dense": (2048, 1026, 40)}
    where = {}
    choices = ({}, {"shard_optimizer": True}, {"shard_dense": True}, {"shard_optimizer": True, "shard_dense": True})
    for split in choices:
        experiment = parse({"model": model, "train": split | {"ema_decay": 0.9}})
        shape = state_shape(StepConfig.of(experiment, 10), (28, 28, 1))
        shardings = sharding.of_state(shape, mesh, experiment.train)
        where[tuple(split)] = {
            jax.tree_util.keystr(path): each.spec
            for path, each in jax.tree_util.tree_leaves_with_path(shardings)
            if each.spec != PartitionSpec()
        }
    assert where[()] == {}
    # Adam has two moments; 6 maps of 13x13 pixels go into 2,048 units, these into 1,026, which 4 do not divide, and
    # these into 40
    moments = [f".opt_state[1].{moment}" for moment in ("mu", "nu")]
    outputs, inputs = PartitionSpec(None, "data"), PartitionSpec("data")
    kernels = {"['head']['dense1']['kernel']": outputs, "['head']['dense2']['kernel']": inputs}
    small = {"['head']['dense3']['kernel']": outputs}  # of 41,040 weights
    assert where["shard_optimizer",] == {m + k: spec for m in moments for k, spec in (kernels | small).items()}
    parts = [*moments, ".params", ".averaged"]
    assert where["shard_dense",] == {p + k: spec for p in parts for k, spec in kernels.items()}
    both = where["shard_optimizer",] | where["shard_dense",]
    assert where["shard_optimizer", "shard_dense"] == both


def test_parts_that_devices_cannot_share():
    train = parse({"train": {"batch_size": 48, "accumulate": 3}}).train
    assert preflight.indivisible(train, 16) is None
    assert preflight.indivisible(train, 10) == (
        "config.train.batch_size=48 does not divide over 3 parts of 10 devices; the nearest are 30 or 60"
    )
