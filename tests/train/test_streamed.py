"""Training on records that are read while the network learns: resumed bit for bit, shared by devices, reported."""

import contextlib
import io
import json

import jax
import numpy as np
import pytest
from rich.console import Console
from support.training_processes import train

from cnn_jax.config.parsing import parse
from cnn_jax.data import loading
from cnn_jax.data.device import pipeline
from cnn_jax.report.run_report import write_run_report
from cnn_jax.run.stop_signal import StopSignal
from cnn_jax.train import inputs, loop, restore, sharding
from cnn_jax.train.loop import Stopped, train_and_evaluate
from cnn_jax.train.step import StepConfig, create_state

pytestmark = pytest.mark.usefixtures("programs_of_a_run")


@pytest.fixture
def experiment(records_folder):
    return {
        "data": {
            "name": "records",
            "folder": str(records_folder),
            "image_size": 24,
            "workers": 0,
            "normalize": "standardize",
            "validation_fraction": 0.1,
        },
        "augment": {"lighting": 0.1},
        "model": {"features": (4,), "pooling": "max", "dense": (), "norm": "batch"},
        "train": {"epochs": 3, "batch_size": 8, "eval_batch_size": 4, "steps_per_dispatch": 2},
        "log": {"tensorboard": False},
    }


class StoppedAtOnce(StopSignal):
    """A signal that is there from the start: it lets one dispatch of two steps pass."""

    def __init__(self):
        super().__init__()
        self.received = "SIGTERM"


def quiet():
    return Console(file=io.StringIO())


def test_a_stopped_run_ends_with_the_same_bits(experiment, tmp_path, monkeypatch):
    whole = train_and_evaluate(parse(experiment), tmp_path / "whole", console=quiet())
    monkeypatch.setattr(loop, "StopSignal", StoppedAtOnce)
    for _ in range(2):  # within the first epoch, and again
        with pytest.raises(Stopped):
            train_and_evaluate(parse(experiment), tmp_path / "cut", console=quiet())
    monkeypatch.undo()
    cut = train_and_evaluate(parse(experiment), tmp_path / "cut", console=quiet())
    names = ("test_loss", "test_accuracy", "step")
    assert [cut[name] for name in names] == [whole[name] for name in names]
    assert whole["step"] == 3 * 7  # 54 training pictures, 5 of them for validation, in batches of 8
    ends = [restore.load(tmp_path / name) for name in ("whole", "cut")]
    images = np.random.default_rng(0).integers(0, 256, (3, 24, 24, 3), np.uint8)
    np.testing.assert_array_equal(*(end.logits(images) for end in ends))
    run = ends[0]
    again = run.evaluate(run.dataset().test)  # the evaluation of the training, to the same bits
    assert (again["loss"], again["accuracy"]) == (whole["test_loss"], whole["test_accuracy"])
    assert "test images" in write_run_report(run).read_text()


def test_steps_are_taken_in_order_over_epochs(experiment):
    config = parse(experiment)
    dataset, mesh = loading.load(config.data, 0), sharding.data_mesh()
    step_config = StepConfig.of(config, dataset.num_classes, mesh.abstract_mesh)
    state = create_state(step_config, step_config.network.init(jax.random.key(0), dataset.image_shape))
    constants = pipeline.preprocessing(config.data, config.augment, dataset.train)
    state, constants, keys = sharding.put((state, constants, inputs.Keys.of(0)), sharding.replicated(mesh))
    rates = np.full(7, 1e-3, np.float32)  # 49 training pictures in batches of 8
    with contextlib.closing(inputs.training(step_config, dataset.train, constants, keys, state, mesh)) as training:
        for epoch, first, last in ((0, 5, 7), (1, 0, 1)):
            state, _ = training.train_steps(state, epoch, rates, first, last)
        assert (int(state.step), int(state.epoch_sums.examples)) == (3, 8 + 1 + 8)
        with pytest.raises(ValueError, match="expected step 8, got 9"):
            training.train_steps(state, 1, rates, 2, 3)


def test_devices_and_processes_share_a_stream(experiment, tmp_path):
    one = train(experiment, tmp_path / "one", 1)
    for name, devices, processes in (("two", 2, 1), ("pair", 4, 2)):
        many = train(experiment, tmp_path / name, devices, processes)
        # float32 sums in another order, grown over 15 steps
        assert many["test_loss"] == pytest.approx(one["test_loss"], rel=1e-4)
        assert many["test_accuracy"] == one["test_accuracy"]


def test_constants_come_from_what_was_prepared(experiment, records_folder):
    manifest = json.loads((records_folder / "records.json").read_text())
    data = parse(experiment).data
    constants = pipeline.normalization(data, loading.load(data, 0).train)
    np.testing.assert_allclose(constants.mean, manifest["mean"], rtol=1e-6)
    np.testing.assert_allclose(constants.std, np.sqrt(np.diag(manifest["covariance"])), rtol=1e-6)
    grey = parse(experiment | {"data": experiment["data"] | {"channels": 1}}).data
    constants = pipeline.normalization(grey, loading.load(grey, 0).train)
    np.testing.assert_allclose(constants.mean, np.dot([0.299, 0.587, 0.114], manifest["mean"])[None], rtol=1e-6)
