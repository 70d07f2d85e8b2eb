"""Seeds in one program come to what they come to alone."""

import dataclasses
import io
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import forced_devices
import jax.numpy as jnp
import pytest
from rich.console import Console
from support import quick_programs

from cnn_jax.config.parsing import parse
from cnn_jax.data import DataError
from cnn_jax.data.sources import memory
from cnn_jax.run.metrics_log import read_records
from cnn_jax.run.stop_signal import StopSignal
from cnn_jax.sweep import ensemble
from cnn_jax.sweep.ensemble import num_devices
from cnn_jax.train.loop import DivergedError, Stopped, train_and_evaluate
from cnn_jax.train.profiling import Dispatcher

ROOT = Path(__file__).parents[2]
TIMES = ("seconds", "images_per_second")
# Batched products add up in another order: float32 rounding, grown over 20 steps.
TOLERANCE = 1e-4


def config(line_data, seed, **train):
    """Dropout, augmentation, batch norm and other validation images for each seed: all that a seed decides."""
    return parse(
        {
            "seed": seed,
            "data": line_data | {"validation_fraction": 0.2},
            "augment": {"shift": 1, "mixup": 0.2},
            "model": {
                "features": (6,),
                "pooling": "max",
                "dense": (8,),
                "norm": "batch",
                "dropout": 0.2,
                "lowering": "xla",
            },
            "train": {"epochs": 2, "batch_size": 40, "eval_batch_size": 50, "steps_per_dispatch": 4} | train,
            "log": {"tensorboard": False},
        }
    )


def console():
    return Console(file=io.StringIO())


def runs(line_data, folder, seeds, **train):
    return [ensemble.Member(config(line_data, seed, **train), folder / str(seed), console()) for seed in seeds]


def figures(folder):
    """All that a run has measured, but for times."""
    return [
        (record.step, record.split, {k: v for k, v in record.values.items() if k not in TIMES})
        for record in read_records(folder / "metrics.jsonl")
    ]


@pytest.fixture(scope="module")
def three(line_data, tmp_path_factory):
    """The folder of three seeds that were trained together, and their results."""
    folder = tmp_path_factory.mktemp("three")
    return folder, ensemble.train_and_evaluate(runs(line_data, folder, range(3)))


def test_together_as_alone(three, line_data, tmp_path):
    folder, results = three
    for seed, result in enumerate(results):
        alone = train_and_evaluate(config(line_data, seed), tmp_path / str(seed), console=console())
        assert result["test_loss"] == pytest.approx(alone["test_loss"], rel=TOLERANCE)
        ours, theirs = figures(folder / str(seed)), figures(tmp_path / str(seed))
        assert [each[:2] for each in ours] == [each[:2] for each in theirs]
        for (step, split, values), (_, _, others) in zip(ours, theirs, strict=True):
            assert values["loss"] == pytest.approx(others["loss"], rel=TOLERANCE), (step, split)
        assert json.loads((folder / str(seed) / "provenance.json").read_text())["trained_together"] == 3
        assert json.loads((tmp_path / str(seed) / "provenance.json").read_text())["trained_together"] == 1
    assert len({result["test_loss"] for result in results}) == 3


def test_runs_that_stand_at_other_steps_come_to_the_same(three, line_data, tmp_path, monkeypatch):
    """One is stopped in the first epoch, one in the second, one not begun."""
    folder, _ = three
    for seed, polls in ((0, 1), (1, 3)):
        stopped_after(monkeypatch, polls)
        (end,) = ensemble.train_and_evaluate(runs(line_data, tmp_path, [seed]))
        assert isinstance(end, Stopped)
        monkeypatch.undo()
    # What a lane alone has begun goes on beside others: another program, so that rounding differs.
    ends = ensemble.train_and_evaluate(runs(line_data, tmp_path, range(3)))
    assert [end["step"] for end in ends] == [20, 20, 20]
    for seed in range(3):
        for ours, theirs in zip(figures(tmp_path / str(seed)), figures(folder / str(seed)), strict=True):
            assert ours[:2] == theirs[:2]
            assert ours[2]["loss"] == pytest.approx(theirs[2]["loss"], rel=TOLERANCE)


# Ten steps an epoch are dispatched 4, 4 and 2, and the signal is looked for after the first two and at the end.
@pytest.mark.parametrize(("polls", "step"), [(1, 8), (2, 10), (3, 14)])
def test_stopped_they_resume_at_one_step_to_the_same_bits(three, line_data, tmp_path, monkeypatch, polls, step):
    folder, _ = three
    stopped_after(monkeypatch, polls)
    ends = ensemble.train_and_evaluate(runs(line_data, tmp_path, range(3)))
    monkeypatch.undo()
    assert all(isinstance(end, Stopped) for end in ends)
    assert [max(saved_steps(tmp_path / str(seed))) for seed in range(3)] == [step] * 3
    ensemble.train_and_evaluate(runs(line_data, tmp_path, range(3)))
    for seed in range(3):
        assert figures(tmp_path / str(seed)) == figures(folder / str(seed))


def test_a_kill_between_the_members_checkpoints_costs_one_checkpoint(three, line_data, tmp_path, monkeypatch):
    """One member has saved a step that the others have not: all continue from the step before."""
    folder, _ = three
    stopped_after(monkeypatch, 4)
    ensemble.train_and_evaluate(runs(line_data, tmp_path, range(3)))
    monkeypatch.undo()
    before, newest = sorted(saved_steps(tmp_path / "0"))
    for seed in (1, 2):
        assert sorted(saved_steps(tmp_path / str(seed))) == [before, newest]
        shutil.rmtree(tmp_path / str(seed) / "checkpoints" / str(newest))
    printed = console()
    members = runs(line_data, tmp_path, range(3))
    ensemble.train_and_evaluate([members[0]._replace(console=printed), *members[1:]])
    assert f"resuming at step {before}\n" in printed.file.getvalue()
    for seed in range(3):
        assert figures(tmp_path / str(seed)) == figures(folder / str(seed))


def saved_steps(run):
    """Steps that a run has checkpoints of."""
    return {int(entry.name) for entry in (run / "checkpoints").iterdir() if entry.name.isdigit()}


def stopped_after(monkeypatch, polls):
    """A signal comes when it has been looked for so many times, after dispatches of four steps."""
    monkeypatch.setattr(Dispatcher, "seconds_per_step", 1e-6)
    left = [polls]

    def received(self):
        left[0] -= 1
        return "SIGTERM" if left[0] < 0 else None

    monkeypatch.setattr(StopSignal, "received", property(received, lambda self, value: None), raising=False)


def test_a_loss_that_is_not_finite_ends_one_member_alone(three, line_data, tmp_path, monkeypatch):
    folder, _ = three
    training = ensemble._training

    def spoilt(sums):
        return sums._replace(loss=sums.loss.at[1].set(jnp.nan))

    def planted(*arguments):
        """The second member's loss becomes nan in the second epoch."""
        compiled = training(*arguments)

        def train_steps(state, *rest):
            state, (epoch_sums, window_sums) = compiled.train_steps(state, *rest)
            if int(state.step[0]) > 12:
                state, epoch_sums = dataclasses.replace(state, epoch_sums=spoilt(state.epoch_sums)), spoilt(epoch_sums)
            return state, (epoch_sums, window_sums)

        return compiled._replace(train_steps=train_steps)

    monkeypatch.setattr(ensemble, "_training", planted)
    ends = ensemble.train_and_evaluate(runs(line_data, tmp_path, range(3)))
    assert isinstance(ends[1], DivergedError)
    assert "the training loss is nan after step" in str(ends[1])
    assert not (tmp_path / "1" / "result.json").exists()
    for seed in (0, 2):
        assert figures(tmp_path / str(seed)) == figures(folder / str(seed))


def test_a_finished_run_is_not_repeated(three, line_data):
    folder, results = three
    again = ensemble.train_and_evaluate(runs(line_data, folder, [0]))
    assert again == [json.loads((folder / "0" / "result.json").read_text())]
    assert again[0]["test_loss"] == results[0]["test_loss"]


def test_members_are_shared_by_devices(three, line_data, tmp_path):
    """Four devices, of which three take a member each."""
    folder, results = three
    program = (
        "import io, sys\n"
        "from pathlib import Path\n"
        "from rich.console import Console\n"
        "from cnn_jax.sweep import ensemble\n"
        "from cnn_jax.run.folder import RunFolder\n"
        "folders = [Path(sys.argv[1]) / name for name in '012']\n"
        "told = Console(file=io.StringIO())\n"
        "ensemble.train_and_evaluate([ensemble.Member(RunFolder(f).experiment(), f, told) for f in folders])\n"
    )
    for seed in range(3):
        (tmp_path / str(seed)).mkdir()
        (tmp_path / str(seed) / "config.json").write_text((folder / str(seed) / "config.json").read_text())
    environment = forced_devices.environment(4, quick_programs.environment(os.environ))
    subprocess.run([sys.executable, "-c", program, str(tmp_path)], cwd=ROOT, env=environment, check=True, timeout=300)
    for seed, result in enumerate(results):
        ours = json.loads((tmp_path / str(seed) / "result.json").read_text())
        assert ours["test_loss"] == pytest.approx(result["test_loss"], rel=TOLERANCE)


def test_images_of_their_own_that_do_not_fit_are_refused(line_data, tmp_path, monkeypatch):
    monkeypatch.setattr(memory.host_memory, "free_bytes", lambda: 100_000)  # each has 400 images of 100 bytes
    with pytest.raises(
        DataError, match=r"config.data: 3 runs .* 240,000 bytes of memory, .*; sweep without --vectorize"
    ):
        ensemble.train_and_evaluate(runs(line_data, tmp_path, range(3)))


@pytest.mark.parametrize(("members", "available", "used"), [(3, 1, 1), (3, 4, 3), (8, 4, 4), (5, 4, 1), (6, 4, 3)])
def test_as_many_devices_as_share_the_members_evenly(members, available, used):
    assert num_devices(members, available) == used
