"""A run that pauses at an epoch and goes on has the bits of one that does not."""

import json

import jax
import numpy as np
import pytest

from cnn_jax.config.parsing import parse
from cnn_jax.run.folder import PACKED, RunFolder
from cnn_jax.run.packed_checkpoints import pack
from cnn_jax.train import restore
from cnn_jax.train.loop import Paused, train_and_evaluate


def experiment(line_data):
    return parse(
        {
            "data": line_data | {"validation_fraction": 0.2},
            "model": {"features": (4,), "pooling": "max", "dense": (), "lowering": "xla"},
            "schedule": {"name": "cosine"},
            "train": {"epochs": 4, "batch_size": 50, "eval_batch_size": 150, "steps_per_dispatch": 5},
            "checkpoint": {"every_epochs": 4},
            "log": {"tensorboard": False},
        }
    )


def records(folder):
    """All that was measured, without times."""
    found = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    for record in found:
        for name in ("seconds", "images_per_second"):
            record["values"].pop(name, None)
    return found


def test_a_promoted_run_is_that_of_an_uninterrupted_one(tmp_path, line_data, programs_of_a_run):
    config = experiment(line_data)
    whole = train_and_evaluate(config, tmp_path / "whole")
    for epoch, measured in ((1, 1), (3, 3), (1, 3)):  # the last is behind what has been trained, and changes nothing
        with pytest.raises(Paused, match=f"paused after epoch {measured}"):
            train_and_evaluate(config, tmp_path / "paused", until_epoch=epoch)
        pack(RunFolder(tmp_path / "paused"))  # as a sweep's worker does
        assert {path.name for path in (tmp_path / "paused").iterdir() if "checkpoints" in path.name} == {PACKED}
        assert not (tmp_path / "paused" / "result.json").exists()
        assert max(record["epoch"] for record in records(tmp_path / "paused")) == measured
    promoted = train_and_evaluate(config, tmp_path / "paused", until_epoch=4)
    assert records(tmp_path / "paused") == records(tmp_path / "whole")
    assert [promoted[name] for name in ("test_loss", "test_accuracy", "step")] == [
        whole[name] for name in ("test_loss", "test_accuracy", "step")
    ]
    assert len(records(tmp_path / "whole")) >= 12
    pack(RunFolder(tmp_path / "paused"))
    files = {path.name for path in (tmp_path / "paused").iterdir()}
    assert files == {"config.json", "dataset.json", "metrics.jsonl", "provenance.json", "result.json", PACKED}
    assert train_and_evaluate(config, tmp_path / "paused") == promoted, "a finished run is not repeated"
    ours, theirs = (jax.tree.leaves(restore.load(tmp_path / name).variables) for name in ("paused", "whole"))
    assert ours
    for one, other in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(one, other)
    (tmp_path / "paused" / "result.json").unlink()  # made anew from the checkpoint
    again = train_and_evaluate(config, tmp_path / "paused")
    assert again["test_loss"] == promoted["test_loss"]
    assert records(tmp_path / "paused") == records(tmp_path / "whole")
