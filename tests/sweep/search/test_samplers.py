"""Batches are pure functions of what is finished."""

import math

import numpy as np
import pytest

from cnn_jax.sweep import Search, choice, halton, integers, log_uniform, uniform
from cnn_jax.sweep.search.samplers import Observation, suggest

SPACE = {
    "optimizer.learning_rate": log_uniform(1e-4, 1),
    "train.label_smoothing": uniform(0, 1),
    "model.padding": choice(["SAME", "VALID", (1, 2)]),
    "train.batch_size": integers(8, 64),
}


def run(sampler, batches=6):
    """The points of all batches, with their outcomes."""
    search, observations = Search(SPACE, trials=8 * batches, sampler=sampler, batch=8, seed=1), []
    for batch in range(batches):
        points = suggest(search, batch, 8, observations)
        assert points == suggest(search, batch, 8, list(observations)), "the same again"
        for point in points:
            rate, smoothing = point["optimizer.learning_rate"], point["train.label_smoothing"]
            gain = -((math.log10(rate) + 2) ** 2) - (smoothing - 0.3) ** 2 + (point["model.padding"] == "VALID")
            usable = point["train.batch_size"] < 56
            observations.append(Observation(batch, point, {1: gain - 1, 3: gain} if usable else {}, usable, True))
    return observations


@pytest.mark.parametrize("sampler", ["random", "halton", "sobol", "tpe", "cma_es"])
def test_points_lie_in_their_ranges(sampler):
    if sampler in ("tpe", "cma_es"):
        pytest.importorskip("optuna")
        pytest.importorskip("cmaes")
    observations = run(sampler, batches=3)
    assert len({str(each.values) for each in observations}) > 20
    for each in observations:
        assert list(each.values) == list(SPACE)
        rate = each.values["optimizer.learning_rate"]
        assert 1e-4 <= rate <= 1
        assert rate == float(f"{rate:.6g}")
        assert each.values["model.padding"] in ("SAME", "VALID", (1, 2))
        assert type(each.values["train.batch_size"]) is int
        assert 8 <= each.values["train.batch_size"] <= 64


@pytest.mark.parametrize("sampler", ["tpe", "cma_es"])
def test_an_adaptive_sampler_learns(sampler):
    pytest.importorskip("optuna")
    pytest.importorskip("cmaes")
    observations = run(sampler)
    means = [
        np.mean([each.gains[3] for each in observations if each.batch == batch and each.usable]) for batch in (0, 5)
    ]
    assert means[1] > means[0] + 0.5


def test_infeasible_points_are_avoided():
    pytest.importorskip("optuna")
    observations = run("tpe", batches=8)
    drawn = [sum(not each.usable for each in observations if each.batch in part) for part in ((0, 1), (6, 7))]
    assert drawn[1] <= drawn[0]
    assert (
        sum(not each.usable for each in observations if each.batch > 3) < 5
    )  # 32 points; by chance a sixth of them, 5


def test_batches_of_halton_are_one_sequence():
    assert [each.values for each in run("halton", batches=3)] == halton(SPACE, 24, seed=1)
