"""Training: that it learns, resumes to the same bits, keeps the best, and stops when it must."""

import io
import json
import math
from pathlib import Path

import jax
import numpy as np
import pytest
from rich.console import Console

from cnn_jax.config.parsing import ConfigError, parse
from cnn_jax.data import DataError
from cnn_jax.ops import GeometryError
from cnn_jax.report import step_profile
from cnn_jax.run.folder import RunFolderError
from cnn_jax.run.metrics_log import read_records
from cnn_jax.run.stop_signal import StopSignal
from cnn_jax.train import loop, profiling, restore
from cnn_jax.train.loop import DivergedError, Stopped, train_and_evaluate

pytestmark = pytest.mark.usefixtures("programs_of_a_run")

SMALL = {
    "model": {"features": (8, 8), "pooling": ("max", "none"), "dense": (16,)},
    "optimizer": {"learning_rate": 3e-3},
    "train": {"epochs": 3, "batch_size": 32, "steps_per_dispatch": 6},
    "log": {"every_steps": 10, "tensorboard": False},
}
# All that augmentation can do, but for crop_padding, which excludes shift.
EVERY_CHANGE = {
    "flip": True,
    "shift": 1,
    "brightness": 0.2,
    "contrast": 0.2,
    "lighting": 0.1,
    "erasing": 0.5,
    "cutout": 3,
    "mixup": 0.2,
    "cutmix": 1.0,
}


def experiment(line_data, **sections):
    raw = {"data": line_data} | SMALL
    return parse({name: raw.get(name, {}) | sections.get(name, {}) for name in raw | sections})


def train(config, workdir):
    return train_and_evaluate(config, workdir, console=Console(file=io.StringIO()))


def without_times(values):
    return {key: value for key, value in values.items() if key not in ("seconds", "images_per_second", "performance")}


def outcome(workdir):
    """All of a run that must not depend on how often it was interrupted."""
    run = restore.load(workdir)
    records = [record._replace(values=without_times(record.values)) for record in read_records(run.folder.metrics)]
    arrays = [np.asarray(leaf).tobytes() for leaf in jax.tree.leaves(run.variables)]
    return without_times(run.result.to_json()), records, arrays


def test_it_learns_and_leaves_the_promised_files(line_data, tmp_path):
    config = experiment(line_data, train={"epochs": 12}, log={"tensorboard": True})
    result = train(config, tmp_path)
    assert result["test_accuracy"] > 0.95
    assert result["test_top1_error"] == pytest.approx(1 - result["test_accuracy"])
    assert result["test_top5_error"] is None  # of three classes it would say nothing
    assert result["final_epoch"] == result["best_epoch"] == 12
    # 3x3 kernels on 10x10: 8x8, pooled 4x4, then 2x2 maps of 8 features
    assert result["parameters"] == (9 + 1) * 8 + (72 + 1) * 8 + (32 + 1) * 16 + (16 + 1) * 3
    first, others = 8**2 * 9 * 8, 2**2 * 72 * 8 + 32 * 16 + 16 * 3
    assert result["performance"]["training_flop"] == 2 * (2 * first + 3 * others)
    slowest = result["performance"]["step_seconds"]
    assert 0 < slowest["p50"] <= slowest["p90"] <= slowest["p99"] < result["seconds"]["training"]
    names = {entry.name for entry in tmp_path.iterdir()}
    assert names >= {"config.json", "provenance.json", "metrics.jsonl", "checkpoints", "result.json", "tensorboard"}
    assert json.loads((tmp_path / "result.json").read_text()) == result
    provenance = json.loads((tmp_path / "provenance.json").read_text())
    assert provenance["data"]["checksum"] == json.loads((tmp_path / "dataset.json").read_text())["checksum"]
    assert provenance["packages"]["jax"] == jax.__version__
    assert sorted(int(entry.name) for entry in (tmp_path / "checkpoints").iterdir()) == [11 * 16, 12 * 16]


def test_records_count_every_example_once(line_data, tmp_path):
    train(experiment(line_data, train={"epochs": 2}), tmp_path)
    records = list(read_records(tmp_path / "metrics.jsonl"))
    splits = [(record.step, record.split) for record in records]
    # 500 images in batches of 32: 16 steps an epoch, dispatched 6, 6 and 4; records cross 10, 20 and 30
    assert splits == [
        (12, "train_step"),
        (16, "train"),
        (16, "test"),
        (22, "train_step"),
        (32, "train_step"),
        (32, "train"),
        (32, "test"),
    ]
    accuracies = [record.values["accuracy"] for record in records if record.split == "train"]
    assert all((accuracy * 500) == pytest.approx(round(accuracy * 500)) for accuracy in accuracies)


def test_it_measures_when_that_is_due(line_data, tmp_path):
    some = experiment(line_data, data={"validation_fraction": 0.2}, train={"epochs": 5, "eval_every_epochs": 2})
    every = experiment(line_data, data={"validation_fraction": 0.2}, train={"epochs": 5})
    for name, config in (("some", some), ("every", every)):
        train(config, tmp_path / name)
    found, all_of_them = (list(read_records(tmp_path / name / "metrics.jsonl")) for name in ("some", "every"))
    assert [record.epoch for record in found if record.split == "test"] == [2, 4, 5]
    assert [record.epoch for record in found if record.split == "validation"] == [2, 4, 5]
    assert [record.epoch for record in found if record.split == "train"] == [1, 2, 3, 4, 5]
    measured = [record for record in found if record.split in ("test", "validation")]
    assert all(record in all_of_them for record in measured), "what is not measured changes nothing"
    best = max((r for r in measured if r.split == "validation"), key=lambda r: (r.values["accuracy"], -r.epoch))
    assert restore.load(tmp_path / "some").result.best_epoch == best.epoch


def test_a_finished_run_is_not_repeated(line_data, tmp_path):
    first = train(experiment(line_data), tmp_path)
    assert train(experiment(line_data), tmp_path) == first


def test_the_seed_decides_everything(line_data, tmp_path):
    config = experiment(line_data, augment=EVERY_CHANGE, model={"dropout": 0.2}, train={"ema_decay": 0.9})
    for name in ("a", "b"):
        train(config, tmp_path / name)
    assert outcome(tmp_path / "a") == outcome(tmp_path / "b")
    described = json.loads((tmp_path / "a" / "dataset.json").read_text())
    pixels = restore.load(tmp_path / "a").dataset().train.images / 255
    assert described["colours"]["eigenvalues"] == pytest.approx([pixels.var()], rel=1e-5)  # what lighting scales by
    train(config.model_copy(update={"seed": 1}), tmp_path / "c")
    assert outcome(tmp_path / "a")[2] != outcome(tmp_path / "c")[2]


class StoppedAtOnce(StopSignal):
    """A signal that is there from the start."""

    def __init__(self):
        super().__init__()
        self.received = "SIGTERM"


# 400 training images are 13 steps: 6, 6 and 1, or 7 and 6, in each epoch; the last end is the run's. A first dispatch
# takes one step, to see how long it takes, unless it is told that it can afford more.
@pytest.mark.parametrize(
    ("epochs", "dispatch", "affordable", "expected"),
    [(3, 6, 100, 8), (3, 7, 100, 5), (2, 6, None, 25), pytest.param(3, 6, None, 38, marks=pytest.mark.exhaustive)],
)
def test_a_run_stopped_at_every_dispatch_ends_the_same(
    line_data, tmp_path, monkeypatch, epochs, dispatch, affordable, expected
):
    config = experiment(
        line_data,
        data={"validation_fraction": 0.2},
        augment=EVERY_CHANGE,
        checkpoint={"select": "best"},
        train={"epochs": epochs, "steps_per_dispatch": dispatch, "ema_decay": 0.9},
    )
    if affordable is not None:
        monkeypatch.setattr(profiling.Dispatcher, "seconds_per_step", profiling.MAX_DISPATCH_SECONDS / affordable)
    train(config, tmp_path / "whole")
    monkeypatch.setattr(loop, "StopSignal", StoppedAtOnce)
    stops = 0
    for _ in range(50):
        try:
            train(config, tmp_path / "pieces")
            break
        except Stopped:
            stops += 1
    assert stops == expected
    assert outcome(tmp_path / "whole") == outcome(tmp_path / "pieces")


def test_slow_steps_are_dispatched_by_few_and_records_stay_where_they_are(line_data, tmp_path, monkeypatch):
    taken = []
    plain = profiling.Dispatcher.dispatch

    def counting(self, state, epoch, learning_rates, chunk):
        taken.append(chunk.last - chunk.first)
        return plain(self, state, epoch, learning_rates, chunk)

    monkeypatch.setattr(profiling.Dispatcher, "dispatch", counting)
    config = experiment(line_data)
    monkeypatch.setattr(profiling.Dispatcher, "seconds_per_step", 1e-6)
    train(config, tmp_path / "fast")
    assert taken == [6, 6, 4] * 3  # 16 steps in each of 3 epochs
    taken.clear()
    monkeypatch.setattr(profiling.Dispatcher, "seconds_per_step", 0.9)
    train(config, tmp_path / "slow")
    assert taken == [2] * 24
    assert outcome(tmp_path / "fast") == outcome(tmp_path / "slow")


def test_a_first_dispatch_takes_one_step_to_see_how_long_it_takes(line_data):
    affordable = iter([1, 1, 100, 100, 100])
    cut = list(loop.chunks(experiment(line_data), 16, 0, lambda: next(affordable)))
    assert [(chunk.first, chunk.last) for chunk in cut] == [(0, 1), (1, 2), (2, 6), (6, 12), (12, 16)]
    assert [chunk.ends_window for chunk in cut] == [False, False, False, True, False]  # records cross step 10
    again = list(loop.chunks(experiment(line_data), 16, 16 + 8, lambda: 100))  # resumed in the second epoch
    assert [(chunk.first, chunk.last, chunk.ends_window) for chunk in again] == [(8, 12, False), (12, 16, True)]


def test_the_best_epoch_on_validation_is_tested(line_data, tmp_path):
    config = experiment(
        line_data,
        data={"validation_fraction": 0.2},
        checkpoint={"select": "best", "keep_last": 1},
        optimizer={"learning_rate": 0.05},  # rough enough that the last epoch is not the best
        train={"epochs": 8},
    )
    result = train(config, tmp_path)
    records = list(read_records(tmp_path / "metrics.jsonl"))
    validation = {record.epoch: record.values["accuracy"] for record in records if record.split == "validation"}
    best = min(epoch for epoch, accuracy in validation.items() if accuracy == max(validation.values()))
    tested = next(record for record in records if record.split == "test" and record.epoch == best)
    assert (result["best_epoch"], result["selected_by"]) == (best, "validation_accuracy")
    assert (result["test_accuracy"], result["step"]) == (tested.values["accuracy"], tested.step)
    run = restore.load(tmp_path)
    test = run.dataset().test
    assert (run.probabilities(test.images).argmax(axis=1) == test.labels).mean() == pytest.approx(
        result["test_accuracy"]
    )


def test_a_loss_that_is_no_number_stops_the_run(line_data, tmp_path):
    config = experiment(line_data, optimizer={"name": "sgd", "learning_rate": 1e25}, train={"epochs": 4})
    with pytest.raises(DivergedError, match=r"loss is (nan|inf) after step \d+ .* the last good checkpoint is kept"):
        train(config, tmp_path)
    assert not (tmp_path / "result.json").exists()
    assert all(math.isfinite(record.values["loss"]) for record in read_records(tmp_path / "metrics.jsonl"))


def test_an_evaluation_that_is_no_number_stops_the_run(line_data, tmp_path, monkeypatch):
    evaluation = loop.inputs.evaluation

    def planted(*arguments):
        """The test loss becomes infinite in the second epoch."""
        evaluate, calls = evaluation(*arguments), []

        def broken(variables):
            calls.append(1)
            sums = evaluate(variables)
            return sums._replace(loss=sums.loss * np.inf) if len(calls) == 2 else sums

        return broken

    monkeypatch.setattr(loop.inputs, "evaluation", planted)
    with pytest.raises(DivergedError, match=r"the test loss is inf after step 32 \(epoch 2\)"):
        train(experiment(line_data), tmp_path)
    assert max(record.step for record in read_records(tmp_path / "metrics.jsonl")) == 32  # no third epoch
    assert [entry.name for entry in (tmp_path / "checkpoints").iterdir()] == ["16"]


def test_what_does_not_fit_is_refused_before_training(line_data, tmp_path):
    with pytest.raises(ConfigError, match=r"config.train.batch_size=501 exceeds the 500 training images"):
        train(experiment(line_data, train={"batch_size": 501}), tmp_path / "a")
    with pytest.raises(GeometryError, match="layer conv2"):
        train(experiment(line_data, model={"kernel_size": (3, 5)}), tmp_path / "b")
    with pytest.raises(DataError, match=r"config.data.train_images: there is no file"):
        train(experiment(line_data, data={"train_images": str(tmp_path / "none")}), tmp_path / "c")


def test_a_run_does_not_go_on_with_another_config(line_data, tmp_path):
    train(experiment(line_data, train={"epochs": 1}), tmp_path)
    with pytest.raises(RunFolderError, match=r"config.train.epochs: 1 -> 2"):
        train(experiment(line_data, train={"epochs": 2}), tmp_path)


def test_changed_images_are_noticed(line_data, tmp_path):
    images = tmp_path / "images"
    images.write_bytes(Path(line_data["test_images"]).read_bytes())
    train(experiment(line_data, data={"test_images": str(images)}, train={"epochs": 1}), tmp_path / "run")
    content = bytearray(images.read_bytes())
    content[-1] ^= 1
    images.write_bytes(content)
    with pytest.raises(DataError, match="have changed"):
        restore.load(tmp_path / "run").dataset()


def test_a_profile_changes_no_result_and_tells_where_time_goes(line_data, tmp_path):
    # Dispatches of 6, 6 and 4 steps an epoch: the traced ones, 10 to 20, begin within one, and end with the epoch.
    # With a norm between them, convolution and pooling are two operations.
    config = experiment(line_data, model={"norm": "batch"}, train={"epochs": 2})
    train(config, tmp_path / "plain")
    console = Console(file=io.StringIO())
    train_and_evaluate(config, tmp_path / "traced", console=console, profile=True)
    assert outcome(tmp_path / "traced") == outcome(tmp_path / "plain")
    assert "profile: steps 10 to 16 of this run, 10 wanted" in console.file.getvalue()
    profile = step_profile.read(tmp_path / "traced")
    assert (profile.first_step, profile.steps, profile.device) == (10, 6, "CPU")
    shares = {kind: share for kind, _, share in profile.kinds}
    assert sum(shares.values()) == pytest.approx(1)
    expected = {"convolutions and matrix products", "pooling", "normalisation", "batches, metrics and optimizer"}
    assert expected <= {kind for kind, share in shares.items() if share > 0}
    assert "unknown" not in shares
    assert any(operation.calls == 1 for operation in profile.operations)  # a step has each once
    assert step_profile.read(tmp_path / "plain") is None
